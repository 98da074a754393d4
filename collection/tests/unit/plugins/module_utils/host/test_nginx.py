# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an nginx configuration shows to whom: every bug that other scanners have is a test here."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _nginx_servers, nginx
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]
TITLE = "nginx: master process "


class Nginx:
    """A folder of configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.issue = issue
        self.write("nginx.conf", "")
        machine.answers[("nginx", "-V")] = said(
            stderr=f"nginx version: nginx/1.22.1\n"
            f"configure arguments: --prefix=/x --conf-path='{folder}/nginx.conf'"
        )
        machine.program("nginx")
        self.service = nginx.Nginx(machine)

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the configuration."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def certificate(self, name: str, *names: str, key: str = "ec-256") -> str:
        """A certificate NAME.crt with NAME.key beside the configuration; returns its fingerprint."""
        made = self.issue(*(names or ("a.test",)), key=key)
        made.save(self.folder, name)
        return t.cast("str", made.fingerprint)

    def scan(self) -> list[Binding]:
        """The bindings of the whole configuration."""
        self.service.name_strangers(self.report)
        self.service.scan(self.report)
        return self.report.bindings

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Nginx:
    """An installed nginx that does not run."""
    return Nginx(tmp_path / "etc", machine, report, issue)


def pair(name: str) -> str:
    return f"ssl_certificate {name}.crt; ssl_certificate_key {name}.key;"


def test_a_plain_server_is_found_with_its_files_and_place(conf: Nginx) -> None:
    fingerprint = conf.certificate("shop")
    conf.write(
        "nginx.conf",
        "http {\n  server {\n    listen 443 ssl;\n    server_name Shop.Example www.shop.example;\n"
        "    ssl_certificate shop.crt;\n    ssl_certificate_key shop.key;\n  }\n}",
    )
    (binding,) = conf.scan()
    assert binding["service"] == "nginx"
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "nginx.conf"), 5)
    assert binding["names"] == ["shop.example", "www.shop.example"]
    assert binding["listeners"] == ["*:443"]
    assert [(file["path"], file["kind"]) for file in binding["files"]] == [
        (str(conf.folder / "shop.crt"), "fullchain"),
        (str(conf.folder / "shop.key"), "key"),
    ]
    assert binding["certificate"] == fingerprint
    assert binding["problems"] == []
    assert binding["managed_by"] is None


def test_an_include_inside_a_server_keeps_the_place_of_the_directive(conf: Nginx) -> None:
    conf.certificate("shop")
    conf.write("snippets/tls.conf", "# ours\n" + pair("shop"))
    conf.write("nginx.conf", "http { server { include snippets/tls.conf; listen 443 ssl; } }")
    (binding,) = conf.scan()
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "snippets/tls.conf"), 2)


def test_what_stands_in_http_holds_for_servers_without_their_own(conf: Nginx) -> None:
    conf.certificate("all")
    own = conf.certificate("own")
    conf.write(
        "nginx.conf",
        "http { server { listen 443 ssl; server_name a; }"
        f" server {{ listen 443 ssl; server_name b; {pair('own')} }} {pair('all')} }}",
    )
    first, second = conf.scan()
    assert [Path(file["path"]).name for file in first["files"]] == ["all.crt", "all.key"]
    assert second["certificate"] == own


def test_an_rsa_and_an_ecdsa_certificate_are_two_bindings_in_order(conf: Nginx) -> None:
    rsa, ec = conf.certificate("rsa", key="rsa-2048"), conf.certificate("ec")
    conf.write(
        "nginx.conf",
        "http { server { listen 443 ssl; server_name a; ssl_certificate rsa.crt; ssl_certificate ec.crt;"
        " ssl_certificate_key rsa.key; ssl_certificate_key ec.key; } }",
    )
    bindings = conf.scan()
    assert [binding["certificate"] for binding in bindings] == [rsa, ec]
    assert [Path(binding["files"][1]["path"]).name for binding in bindings] == ["rsa.key", "ec.key"]
    assert all(binding["problems"] == [] for binding in bindings)


def test_includes_follow_globs_tabs_quotes_and_comments(conf: Nginx) -> None:
    for number, name in enumerate(("one", "two", "three", "four")):
        conf.certificate(name)
        conf.write(
            f"sites/{number}{name}", f"server {{ listen 443 ssl; server_name {name}.test; {pair(name)} }}"
        )
    conf.write("sites/.hidden", "server { listen 443 ssl; server_name hidden.test; ssl_certificate x; }")
    conf.write("nested.conf", "include sites/2*; # include sites/0*;\n#include sites/1*;")
    conf.write(
        "nginx.conf",
        'http {\tinclude\tsites/0*; include "sites/1*"; include nested.conf; include sites/3four; }',
    )
    assert [binding["names"] for binding in conf.scan()] == [
        ["one.test"],
        ["two.test"],
        ["three.test"],
        ["four.test"],
    ]


def test_relative_paths_start_at_the_first_file_and_not_at_the_including_one(conf: Nginx) -> None:
    conf.certificate("shop")
    conf.write("deep/er/site.conf", f"server {{ listen 443 ssl; include snip.conf; {pair('shop')} }}")
    conf.write("snip.conf", "server_name right.test;")
    conf.write("deep/er/snip.conf", "server_name wrong.test;")
    conf.write("nginx.conf", "http { include deep/er/*.conf; }")
    (binding,) = conf.scan()
    assert binding["names"] == ["right.test"]
    assert binding["files"][0]["path"] == str(conf.folder / "shop.crt")


def test_a_commented_certificate_does_not_count(conf: Nginx) -> None:
    fingerprint = conf.certificate("shop")
    conf.write(
        "nginx.conf",
        f"http {{ server {{ listen 443 ssl;\n# ssl_certificate old.crt;\n"
        f"{pair('shop')} # ssl_certificate x;\n}} }}",
    )
    assert [binding["certificate"] for binding in conf.scan()] == [fingerprint]


def test_one_server_makes_the_listener_tls_for_all(conf: Nginx) -> None:
    conf.certificate("shop")
    conf.write(
        "nginx.conf",
        f"http {{ {pair('shop')} server {{ listen 443; server_name a; }} server {{ listen "
        f"443 ssl; server_name b; }}"
        " server { listen 80; server_name c; } server { server_name d; } }",
    )
    assert [(one["names"], one["listeners"]) for one in conf.scan()] == [
        (["a"], ["*:443"]),
        (["b"], ["*:443"]),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("443", ["*:443"]),
        ("*:443", ["*:443"]),
        ("0.0.0.0:443", ["*:443"]),
        ("10.0.0.1", ["10.0.0.1:80"]),
        ("[::]:443", ["[::]:443"]),
        ("[2001:DB8::1]", ["[2001:db8::1]:80"]),
        ("localhost:8443", ["localhost:8443"]),
        ("127.0.0.1:8000-8002", ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"]),
        ("a:b:c", []),
        (":", []),
        ("99999999", []),
        ("", []),
    ],
)
def test_the_forms_of_listen(value: str, expected: list[str]) -> None:
    assert _nginx_servers.addresses(value) == expected


def test_quic_and_local_sockets_are_no_place_for_a_tls_handshake(conf: Nginx) -> None:
    conf.certificate("shop")
    conf.write(
        "nginx.conf",
        f"http {{ server {{ listen 443 quic; listen unix:/run/x ssl; listen 443 ssl; {pair('shop')} }} }}",
    )
    assert [binding["listeners"] for binding in conf.scan()] == [["*:443"]]
    assert conf.warned() == []


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("listen 443 quic;", "only QUIC or UDP is listened to: no handshake over TCP is possible"),
        ("listen unix:/run/x ssl;", "only a local socket is listened to: no handshake is possible"),
    ],
)
def test_where_no_handshake_is_possible_the_certificate_is_told_with_the_reason(
    conf: Nginx, listen: str, why: str
) -> None:
    fingerprint = conf.certificate("shop")
    conf.write("nginx.conf", f"http {{ server {{ {listen} server_name a.test; {pair('shop')} }} }}")
    (binding,) = conf.scan()
    assert (binding["certificate"], binding["listeners"]) == (fingerprint, [])
    assert conf.warned() == [why]


def test_the_forms_of_server_names(conf: Nginx) -> None:
    conf.certificate("shop")
    conf.write(
        "nginx.conf",
        'http { server { listen 443 ssl; server_name .dot.test *.star.test mail.* ~^(.+)\\.re\\.test$ _ "";'
        f" {pair('shop')} }} }}",
    )
    (binding,) = conf.scan()
    assert binding["names"] == [
        "dot.test",
        "*.dot.test",
        "*.star.test",
        "~^mail\\..+$",
        "~^(.+)\\.re\\.test$",
    ]


def test_a_name_belongs_to_the_first_server_that_has_it(conf: Nginx) -> None:
    first, second = conf.certificate("one"), conf.certificate("two")
    conf.write(
        "nginx.conf",
        f"http {{ server {{ listen 443 ssl; server_name a; {pair('one')} }}"
        f" server {{ listen 443 ssl; listen 444 ssl; server_name a b; {pair('two')} }} }}",
    )
    assert [(one["certificate"], one["names"], one["listeners"]) for one in conf.scan()] == [
        (first, ["a"], ["*:443"]),
        (second, ["b"], ["*:443"]),
        (second, ["a", "b"], ["*:444"]),
    ]


def test_a_server_that_nothing_reaches_is_told_without_listeners(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write(
        "nginx.conf",
        f"http {{ {pair('one')} server {{ listen 443 ssl; server_name a; }}\n"
        "server { listen 443 ssl; server_name a; } server { listen 443 ssl; } }",
    )
    assert [one["listeners"] for one in conf.scan()] == [["*:443"], [], []]
    assert conf.warned() == ["no handshake reaches this server: others have its names"]


def test_the_default_server_is_reached_without_a_name(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write(
        "nginx.conf",
        f"http {{ {pair('one')} server {{ listen 443 ssl; server_name a; }}"
        " server { listen 443 ssl default_server; server_name _; } }",
    )
    assert [(one["names"], one["listeners"]) for one in conf.scan()] == [(["a"], ["*:443"]), ([], ["*:443"])]


def test_a_server_that_refuses_handshakes_shows_nothing(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write(
        "nginx.conf",
        f"http {{ {pair('one')} server {{ listen 443 ssl default_server; ssl_reject_handshake on; }}"
        " server { listen 443 ssl; server_name a; } }",
    )
    assert [one["names"] for one in conf.scan()] == [["a"]]
    assert conf.warned() == []


def test_a_path_with_the_name_asked_for_is_resolved_by_looking(conf: Nginx) -> None:
    found = [conf.certificate(f"{name}.sni.test") for name in ("a", "b")]
    conf.certificate("c.other.test")
    (conf.folder / "no host name!.crt").write_text("")
    conf.write(
        "nginx.conf",
        "http { server { listen 443 ssl; server_name *.sni.test; ssl_certificate $ssl_server_name.crt;"
        " ssl_certificate_key ${ssl_server_name}.key; } }",
    )
    bindings = conf.scan()
    assert [one["certificate"] for one in bindings] == found
    assert [one["names"] for one in bindings] == [["a.sni.test"], ["b.sni.test"]]
    assert all(one["problems"] == [] for one in bindings)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("/etc/$host.pem", "/etc/$host.pem: the value of $host is known to nginx alone"),
        ("data:-----BEGIN", "data:... is no file but a value"),
        ("engine:token:key", "engine:... lies in an engine"),
        ("store:file.key", "store:... lies in a store"),
        ("$ssl_server_name.pem", "no file fits $ssl_server_name.pem"),
        ('""', "an empty path"),
    ],
)
def test_what_cannot_be_resolved_is_said_and_not_dropped(conf: Nginx, value: str, reason: str) -> None:
    conf.write(
        "nginx.conf",
        f"http {{ server {{ listen 443 ssl; ssl_certificate {value}; ssl_certificate_key {value}; }} }}",
    )
    (binding,) = conf.scan()
    assert binding["certificate"] is None
    assert binding["files"] == []
    assert {"kind": "unresolved", "message": reason} in binding["problems"]


def test_nginx_s_own_acme_is_told_as_the_manager(conf: Nginx) -> None:
    conf.write(
        "nginx.conf",
        "http { server { listen 443 ssl; server_name a; acme_certificate letsencrypt;"
        " ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; } }",
    )
    (binding,) = conf.scan()
    assert binding["managed_by"] == "nginx"
    assert binding["problems"][0]["kind"] == "unresolved"


def test_a_script_that_may_choose_the_certificate_is_told(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write(
        "nginx.conf",
        f"http {{ server {{ listen 443 ssl; {pair('one')}\n"
        f" ssl_certificate_by_lua_block {{ x = '}}' }} }} }}",
    )
    assert len(conf.scan()) == 1
    assert conf.warned() == ["a script may show another certificate than the files named here"]


def test_streams_and_mail_serve_certificates_too(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write(
        "nginx.conf",
        f"stream {{ {pair('one')} server {{ listen 636 ssl; }} server {{ listen 53; }} }}"
        f" mail {{ server {{ listen 993 ssl; {pair('one')} }} }}",
    )
    assert [one["listeners"] for one in conf.scan()] == [["*:636"], ["*:993"]]


def test_a_key_that_is_missing_and_a_certificate_that_is_gone_are_problems(conf: Nginx) -> None:
    conf.certificate("one")
    conf.write("nginx.conf", "http { server { listen 443 ssl; ssl_certificate one.crt; } }")
    (binding,) = conf.scan()
    assert [problem["kind"] for problem in binding["problems"]] == ["missing", "malformed"]


def test_a_tls_server_without_any_certificate_is_told(conf: Nginx) -> None:
    conf.write("nginx.conf", "http { server { listen 443 ssl; } }")
    assert conf.scan() == []
    assert conf.warned() == ["a TLS server without a certificate"]


def test_includes_that_go_round_end(conf: Nginx) -> None:
    conf.write("a.conf", "include b.conf;")
    conf.write("b.conf", "include a.conf; include nginx.conf;")
    conf.write("nginx.conf", "http { include a.conf; include gone.conf; }")
    os.mkfifo(conf.folder / "pipe.conf")
    conf.write("more", "")
    (conf.folder / "nginx.conf").write_text("http { include a.conf; include gone.conf; include pipe.*; }")
    assert conf.scan() == []
    assert len(conf.warned()) == 4
    assert sum("includes itself" in message for message in conf.warned()) == 2


def test_a_configuration_of_latin_1_is_read(conf: Nginx) -> None:
    conf.certificate("one")
    (conf.folder / "nginx.conf").write_bytes(
        b"# caf\xe9\nhttp { server { listen 443 ssl; server_name a caf\xe9.test; ssl_certificate /\xe9.crt;"
        b" ssl_certificate_key one.key; } }"
    )
    (binding,) = conf.scan()
    assert binding["names"] == ["a"]
    assert binding["files"][0]["path"] == "/\\xe9.crt"
    assert ("unresolved", "the path /\\xe9.crt is no UTF-8 text") in [
        (problem["kind"], problem["message"]) for problem in binding["problems"]
    ]


class TestRunning:
    """The files of every master are read; `nginx -T` is asked where they leave a doubt."""

    def run(self, conf: Nginx, title: str = "nginx", **process: str | int) -> None:
        """Starts a master with a title."""
        conf.machine.process(10, "nginx", TITLE + title, **process)  # type: ignore[arg-type]
        conf.machine.process(11, "nginx", "nginx: worker process", parent=10)

    def dump(self, conf: Nginx, *names: str) -> str:
        """What nginx -T prints of these files."""
        return "".join(
            f"# configuration file {conf.folder / name}:\n{(conf.folder / name).read_text()}\n"
            for name in names
        )

    def doubtful(self, conf: Nginx) -> str:
        """Two sites, one of which cannot be understood; nginx has read another text. Its certificate."""
        fingerprint = conf.certificate("one")
        conf.write("sites/a", f"server {{ listen 443 ssl; server_name a; {pair('one')} }}")
        conf.write("nginx.conf", "http { include sites/*; include mime.types; }")
        conf.write("mime.types", "types { }")
        self.run(conf)
        dump = self.dump(conf, "nginx.conf", "sites/a", "mime.types")
        conf.machine.answers[("nginx", "-T")] = said(dump)
        conf.write("sites/b", "server {")
        return fingerprint

    def test_files_that_leave_no_doubt_are_not_asked_about(self, conf: Nginx) -> None:
        self.doubtful(conf)
        conf.write("sites/b", f"server {{ listen 443 ssl; server_name b; {pair('one')} }}")
        assert [one["names"] for one in conf.scan()] == [["a"], ["b"]]
        assert "-T" not in {word for argv in conf.machine.asked for word in argv}

    def test_in_doubt_the_dump_is_what_counts(self, conf: Nginx) -> None:
        fingerprint = self.doubtful(conf)
        assert [(one["names"], one["certificate"]) for one in conf.scan()] == [(["a"], fingerprint)]
        assert conf.warned() == []

    @pytest.mark.parametrize(
        "line",
        ["access_log logs/new.log;", "error_log 'logs/new.log' warn;", "listen unix:logs/new.log;"],
    )
    def test_nginx_is_not_asked_where_that_would_make_a_file(self, conf: Nginx, line: str) -> None:
        self.doubtful(conf)
        conf.write("sites/b", f"server {{ {line}")
        assert [one["names"] for one in conf.scan()] == [["a"]]
        assert "-T" not in {word for argv in conf.machine.asked for word in argv}
        message = f"nginx -T is not asked, for it would make {conf.folder}/logs/new.log"
        assert message in conf.warned()
        conf.write("logs/new.log", "")
        conf.scan()
        assert "-T" in {word for argv in conf.machine.asked for word in argv}

    def test_a_comment_that_looks_like_the_next_file_deceives_nobody(self, conf: Nginx) -> None:
        conf.certificate("one")
        inner = f"server {{ listen 443 ssl; server_name a; {pair('one')} }} }}"
        for lie in ("/etc/passwd", str(conf.folder / "nginx.conf"), str(conf.folder / "gone")):
            conf.write("nginx.conf", f"http {{\n# configuration file {lie}:\n{inner}\n}}")
            dump = self.dump(conf, "nginx.conf")
            conf.machine.answers[("nginx", "-T")] = said(dump)
            if not conf.machine.masters(("nginx",)):
                self.run(conf)
            conf.report.bindings.clear()
            assert [one["names"] for one in conf.scan()] == [["a"]]
        assert "-T" in {word for argv in conf.machine.asked for word in argv}

    def test_when_the_dump_fails_the_files_are_read_and_the_failure_is_told(self, conf: Nginx) -> None:
        conf.certificate("one")
        conf.write("nginx.conf", f"http {{ server {{ listen 443 ssl; {pair('one')} }} ")
        self.run(conf)
        conf.machine.answers[("nginx", "-T")] = said(stderr="nginx: [emerg] no such thing", returncode=1)
        assert len(conf.scan()) == 1
        assert conf.warned() == [
            "nginx -T fails, so its files are read: nginx: [emerg] no such thing",
            'the file ends inside a block: "}" is missing',
        ]

    def test_several_masters_each_count_with_their_own_file(self, conf: Nginx) -> None:
        conf.certificate("one")
        for number, name in enumerate(("my-conf/a.conf", "profile.d/b b.conf")):
            path = conf.write(name, f"http {{ server {{ listen {8000 + number} ssl; {pair('../one')} }} }}")
            conf.machine.process(
                20 + number, "nginx", f"{TITLE}nginx -c {path} -g daemon on; master_process on;"
            )
        assert [one["listeners"] for one in conf.scan()] == [["*:8000"], ["*:8001"]]
        assert [Path(argv[0]).name for argv in conf.service.test_commands()] == ["nginx", "nginx"]
        assert conf.service.test_commands()[1][1:] == [
            "-t",
            "-c",
            str(conf.folder / "profile.d/b b.conf"),
            "-g",
            "daemon on; master_process on;",
        ]
        assert [argv[1:3] for argv in conf.service.reload_commands()] == [["-s", "reload"]] * 2

    def test_systemd_reloads_the_unit_that_it_runs(self, conf: Nginx) -> None:
        conf.machine.with_systemd()
        self.run(conf, unit="nginx.service")
        conf.machine.answers[("systemctl", "show")] = said("CanReload=yes\n")
        assert conf.service.reload_command() == ["systemctl", "reload", "nginx.service"]
        conf.machine.answers[("systemctl", "show")] = said("CanReload=no\n")
        assert conf.service.reload_command()[1:] == ["-s", "reload"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
    def test_a_user_s_own_nginx_is_neither_run_nor_believed(self, conf: Nginx) -> None:
        self.run(conf, title=f"nginx -c {conf.folder}/evil.conf", uid=1000)
        assert not conf.service.running()
        conf.scan()
        assert not any("evil" in word for argv in conf.machine.asked for word in argv)
        assert conf.warned() == [
            "process 10 is called nginx but is not root's: its configuration is not read by root"
        ]

    def test_a_test_of_the_configuration_under_way_is_no_master(self, conf: Nginx) -> None:
        conf.machine.process(30, "nginx", "/usr/sbin/nginx", "-t")
        assert not conf.service.running()

    def test_a_server_that_does_not_run_is_never_asked_for_its_dump(self, conf: Nginx) -> None:
        conf.scan()
        assert not any("-T" in argv for argv in conf.machine.asked)


def test_version_and_presence(conf: Nginx) -> None:
    conf.machine.answers[("nginx", "-V")] = said(stderr="nginx version: openresty/1.21.4.1\n")
    assert conf.service.found()
    assert conf.service.version() == "1.21.4.1"
    assert not conf.service.running()
    assert conf.service.reload_commands() == []


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (TITLE + "nginx", {}),
        (TITLE + "/usr/sbin/nginx -g daemon on; master_process on;", {"g": "daemon on; master_process on;"}),
        (TITLE + "nginx -c /opt/my-conf/nginx.conf", {"c": "/opt/my-conf/nginx.conf"}),
        (TITLE + "nginx -c/srv/a b.conf -p /srv/", {"c": "/srv/a b.conf", "p": "/srv/"}),
        (TITLE + "nginx -q -e stderr", {"e": "stderr"}),
    ],
)
def test_the_options_of_a_title(title: str, expected: dict[str, str]) -> None:
    assert nginx.given([title]) == expected
