# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that lie about: files of the usual places, and of those asked for, that no server names."""

from typing import List, Optional

from ._base import Service
from ._machine import Process
from ._report import Report

#: Folders of certificates, by pattern; what a file in one is says its content.
FOLDERS = (
    "/etc/ssl",
    "/etc/ssl/*",
    "/etc/pki/tls",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/private",
    "/etc/pki/nginx",
    "/etc/pki/httpd",
    "/etc/letsencrypt/live/*",
    "/etc/acme.sh/*",
    "/var/lib/acme.sh/*",
    "/root/.acme.sh/*",
    "/etc/dehydrated/certs/*",
    "/var/lib/dehydrated/certs/*",
    "/etc/lego/certificates",
    "/var/lib/lego/certificates",
    "/etc/certs",
    "/etc/*/ssl",
    "/etc/*/tls",
    "/etc/*/certs",
    "/etc/*/cert",
    "/etc/tomcat*",
    "/opt/*/ssl",
    "/opt/*/certs",
    "/usr/local/etc/ssl",
)


class Files(Service):
    """No server at all: nothing runs, nothing is tested, and nothing reads a file again."""

    name = "files"
    last = True
    reloads = False
    folders = FOLDERS

    def found(self) -> bool:
        """Every machine has files."""
        return True

    def version(self) -> Optional[str]:
        return None

    def masters(self) -> List[Process]:
        return []

    def strangers(self) -> List[Process]:
        return []

    def name_strangers(self, report: Report) -> None:
        """No process is called so."""

    def scan(self, report: Report) -> None:
        from ._files_found import Found  # noqa: PLC0415 - the other kinds' hosts need not compile it

        Found(report, self.folders, self.paths).report_bindings()

    def test_commands(self) -> List[List[str]]:
        return []

    def reload_commands(self) -> List[List[str]]:
        return []


SERVICE = Files
