# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a configuration that cannot be read to its end, every kind of server tells what came before."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import scan, services
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _managers,
    _reading,
    _report,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import issue as issue_certificate

if t.TYPE_CHECKING:
    from pathlib import Path

#: What a scan may read in all; the file that comes second is larger.
TOTAL = 200_000
LARGE = "#" * 300_000


@dataclass(frozen=True)
class Kind:
    """A kind: its program, its file, its text (%C is its folder), and where its file is set."""

    program: str
    file: str
    text: str
    attribute: str = "config"


#: The first part names first.crt and first.key, the second leads to the file `large`.
KINDS = {
    "nginx": Kind(
        "nginx",
        "nginx.conf",
        "http { server { listen 443 ssl; ssl_certificate %C/first.crt; ssl_certificate_key %C/first.key; }\n"
        "include %C/large; }\n",
    ),
    "apache": Kind(
        "apache2",
        "apache2.conf",
        "Listen 443\n<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile %C/first.crt\n"
        "SSLCertificateKeyFile %C/first.key\n</VirtualHost>\nInclude %C/large\n",
    ),
    "haproxy": Kind(
        "haproxy",
        "haproxy.cfg",
        "frontend a\n  bind :443 ssl crt %C/first.crt crt-list %C/large\n",
    ),
    "lighttpd": Kind(
        "lighttpd",
        "lighttpd.conf",
        'server.modules = ( "mod_openssl" )\n$SERVER["socket"] == ":443" { ssl.engine = "enable"\n'
        'ssl.pemfile = "%C/first.crt"\nssl.privkey = "%C/first.key" }\ninclude "%C/large"\n',
    ),
    "caddy": Kind(
        "caddy", "Caddyfile", "a.test {\n tls %C/first.crt %C/first.key\n}\nimport %C/large\n", "configs"
    ),
    "postfix": Kind(
        "postfix",
        "main.cf",
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = %C/first.crt\n"
        "smtpd_tls_key_file = %C/first.key\n"
        "tls_server_sni_maps = texthash:%C/large\n",
        "",
    ),
    "dovecot": Kind(
        "dovecot",
        "dovecot.conf",
        "ssl_cert = <%C/first.crt\nssl_key = <%C/first.key\n!include %C/large\n",
    ),
    "exim": Kind(
        "exim4",
        "exim.conf",
        "tls_certificate = %C/first.crt\ntls_privatekey = %C/first.key\n.include %C/large\n",
        "configs",
    ),
    "vsftpd": Kind(
        "vsftpd",
        "vsftpd.conf",
        "listen=YES\nssl_enable=YES\nrsa_cert_file=%C/first.crt\nrsa_private_key_file=%C/first.key\n",
        "configs",
    ),
    "proftpd": Kind(
        "proftpd",
        "proftpd.conf",
        "LoadModule mod_tls.c\nTLSEngine on\nTLSECCertificateFile %C/first.crt\n"
        "TLSECCertificateKeyFile %C/first.key\nInclude %C/large\n",
    ),
    "tomcat": Kind(
        "java",
        "conf/server.xml",
        '<Server><Service><Connector port="443" SSLEnabled="true"><SSLHostConfig>'
        '<Certificate certificateFile="%C/first.crt" certificateKeyFile="%C/first.key"/>'
        '</SSLHostConfig></Connector><Connector port="444" SSLEnabled="true"><SSLHostConfig>'
        '<Certificate certificateKeystoreFile="%C/large"/></SSLHostConfig></Connector></Service></Server>',
        "places",
    ),
    "postgresql": Kind(
        "postgres",
        "postgresql.conf",
        "ssl = on\nssl_cert_file = '%C/first.crt'\nssl_key_file = '%C/first.key'\ninclude '%C/large'\n",
        "configs",
    ),
    "mariadb": Kind(
        "mariadbd",
        "my.cnf",
        "[mysqld]\nssl-cert=%C/first.crt\nssl-key=%C/first.key\n!include %C/large\n",
        "configs",
    ),
    "files": Kind("", "", "", ""),
}


def test_every_kind_is_here() -> None:
    assert KINDS.keys() >= set(services.KINDS) - {"traefik"}  # its test stands beside its own others


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """A machine with the programs, and with what they say of themselves."""
    machine = FakeMachine(tmp_path / "machine")
    configured = f"configure arguments: --prefix={tmp_path} --conf-path={tmp_path}/nginx.conf"
    machine.answers["nginx", "-V"] = said(stderr=configured)
    built_in = f' -D HTTPD_ROOT="{tmp_path}"\n -D SERVER_CONFIG_FILE="apache2.conf"\n'
    machine.answers["apache2", "-V"] = said(built_in)
    machine.answers["apache2", "-l"] = said("Compiled in modules:\n  core.c\n  mod_so.c\n  mod_ssl.c\n")
    machine.answers["proftpd", "-l"] = said("Compiled-in modules:\n  mod_core.c\n")
    machine.answers["proftpd", "-V"] = said(f"  Configuration File:\n   {tmp_path}/proftpd.conf\n")
    machine.answers["mariadbd", "--version"] = said("mariadbd  Ver 10.11.14-MariaDB")
    files = [{"certificate": f"{tmp_path}/first.crt", "key": f"{tmp_path}/first.key"}]
    server = {"listen": [":443"], "tls_connection_policies": [{}]}
    apps = {"http": {"servers": {"a": server}}, "tls": {"certificates": {"load_files": files}}}
    machine.answers["caddy", "adapt"] = said(json.dumps({"apps": apps}))
    return machine


def _service(name: str, folder: Path, machine: FakeMachine) -> t.Any:
    """A kind whose configuration leads to a file that is too large."""
    kind = KINDS[name]
    service = services.get(name, machine)
    issue_certificate("first.test").save(folder, "first")
    (folder / "large").write_text(LARGE)
    if name == "files":
        (folder / "large").rename(folder / "second.pem")
        service.folders, service.paths = (), (f"{folder}/*.crt", f"{folder}/*.pem")
        return service
    machine.program(kind.program)
    (folder / "conf").mkdir()
    (folder / kind.file).write_text(kind.text.replace("%C", str(folder)))
    if kind.attribute:
        path = str(folder / kind.file)
        setattr(service, kind.attribute, path if kind.attribute == "config" else (path,))
    if name == "postfix":
        service.config = str(folder)
        (folder / "master.cf").write_text("smtp inet n - n - - smtpd\n")
    if name == "vsftpd":
        machine.process(7, "vsftpd", "vsftpd", f"{folder}/vsftpd.conf", f"{folder}/large")
    if name == "haproxy":
        service.defaults = ()
    return service


def _report_of(total: int = TOTAL) -> _report.Report:
    reader = _reading.Reader(60.0, total=total)
    return _report.Report(reader, _managers.Managers(reader, certbot=(), acme_sh=()))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_comes_before_a_part_that_is_too_large_is_told(
    name: str, tmp_path: Path, machine: FakeMachine
) -> None:
    report = _report_of()
    about = scan._scan(_service(name, tmp_path, machine), report)
    assert about is not None
    assert about["incomplete"] is True
    assert f"the scan of {name} is not complete: the configuration is too large" in [
        one["message"] for one in report.warnings
    ]
    whole = [one for one in report.bindings if one["certificate"]]
    assert {one["files"][0]["path"] for one in whole} == {f"{tmp_path}/first.crt"}
    if name != "files":
        assert all(one["listeners"] for one in whole)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_with_room_for_all_of_it_nothing_is_incomplete(
    name: str, tmp_path: Path, machine: FakeMachine
) -> None:
    about = scan._scan(_service(name, tmp_path, machine), _report_of(total=1 << 24))
    assert about is not None
    assert "incomplete" not in about


def test_of_several_configurations_one_without_an_end_takes_nothing_of_the_others(
    tmp_path: Path, issue: Issue
) -> None:
    issue("a.test").save(tmp_path, "a")
    file = tmp_path / "file"
    file.write_text("#" * 1000)
    report = _report_of(total=TOTAL)

    def work(name: str) -> None:
        while name == "endless":
            report.reader.config(str(file))
        report.binding(name, str(file), 1, f"{tmp_path}/a.crt", f"{tmp_path}/a.key")

    report.in_turn(work, ["endless", "one", "endless", "two"])
    assert [one["service"] for one in report.bindings] == ["one", "two"]
    assert [one["files"][1]["sha256"] is not None for one in report.bindings] == [True, True]
    assert str(report.cut) == "the configuration is too large"
