# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `notafter.tls.scan_pages`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: scan_pages
short_description: The further pages of a large scan that wait to be taken
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - A host with many certificates has more to say than one result can hold.
    M(notafter.tls.certificate_scan_info) returns the first page, the further ones wait on the controller
    until they are taken or the run ends.
  - Returns what its option O(notafter.tls.certificate_scan_info#module:page) takes, for the host of the
    task. Nothing has to be registered for it. For nearly all hosts it returns nothing.
options: {}
"""

EXAMPLES = r"""
- name: Scan
  notafter.tls.certificate_scan_info:

- name: Take the further pages
  notafter.tls.certificate_scan_info:
    page: "{{ item }}"
  loop: "{{ query('notafter.tls.scan_pages') }}"
"""

RETURN = r"""
_list:
  description: A token for each page.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase

from ..plugin_utils import pages


class LookupModule(LookupBase):
    """Offers the lookup to Ansible."""

    def run(
        self,
        terms: list[t.Any],  # noqa: ARG002 - as Ansible calls it
        variables: dict[str, t.Any] | None = None,
        **kwargs: t.Any,  # noqa: ARG002 - as Ansible calls it
    ) -> list[str]:
        """The tokens of the pages that wait for the host of the task."""
        return pages.waiting(str((variables or {}).get("inventory_hostname")))
