"""Caddy itself judges what the scan says of it, and a deploy to it shows or is taken back."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

CADDYFILE = """\
{
	auto_https disable_redirects
	skip_install_trust
	admin {$ADMIN:localhost:2019}
	acme_ca https://127.0.0.1:9/directory
}
(cert) {
	tls %C/{args.0}.crt %C/{args.0}.key
}
one.test:8443, www.one.test:8443 {
	import cert one
}
import corpus/*.caddy
int.test:8443 {
	tls internal
}
auto.test:8443 {
	respond "no certificate yet"
}
http://plain.test:8080 {
	respond "plain"
}
https://127.0.0.1:8444 {
	bind 127.0.0.1
	tls internal
}
:8445 {
	tls {$PEM} {$PEM}
}
"""

IMPORTED = """\
*.two.test:8443 {
	# tls /nowhere.crt /nowhere.key
	tls "%C/two.crt" `%C/two.key`
}
"""

ENVIRONMENT = "[Service]\nEnvironment=PEM=%C/six.pem\n"


@pytest.fixture
def caddy(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """A Caddy with certificates of every sort."""
    corpus = Corpus(servers, authority)
    for name in ("one", "two", "six", "mem"):
        corpus.certificates(name)
    own(corpus)
    corpus.write("/etc/caddy/Caddyfile", CADDYFILE)
    corpus.write("/etc/caddy/corpus/1.caddy", IMPORTED)
    corpus.write("/etc/systemd/system/caddy.service.d/corpus.conf", ENVIRONMENT)
    servers.run(["systemctl", "daemon-reload"])
    start(corpus)
    yield corpus
    servers.run(["systemctl", "stop", "caddy"], check=False)
    corpus.put_back()
    servers.run(["sh", "-c", "rm -rf /etc/caddy/corpus /var/lib/caddy/.local /var/lib/caddy/.config"])
    servers.run(["systemctl", "daemon-reload"])
    servers.run(["systemctl", "reset-failed"])


def own(corpus: Corpus) -> None:
    """Caddy runs as a user of its own, who must be able to read keys."""
    corpus.host.run(["chown", "-R", "root:caddy", corpus.folder])
    corpus.host.run(["sh", "-c", f"chmod 640 {corpus.folder}/*"])


def start(corpus: Corpus) -> None:
    """Starts it anew; systemd waits until it is ready."""
    host = corpus.host
    host.run(["systemctl", "reset-failed"])
    host.run(["systemctl", "restart", "caddy"])
    stored = "/var/lib/caddy/.local/share/caddy/certificates/local"
    for name in ("int.test", "127.0.0.1"):
        host.wait_until(partial(host.exists, f"{stored}/{name}/{name}.key"), f"{name} is issued", 60)


def told(corpus: Corpus) -> list[tuple[str, tuple[str, ...], tuple[str, ...], str | None]]:
    """(certificate, names, listeners, manager) of each binding."""
    return sorted(
        (
            corpus.fingerprints.get(one["certificate"], "its own" if one["certificate"] else "none"),
            tuple(one["names"]),
            tuple(one["listeners"]),
            one["managed_by"],
        )
        for one in scan(corpus.host, "caddy").bindings
    )


def test_every_server_shows_to_each_name_what_caddy_runs(caddy: Corpus) -> None:
    scanned = scan(caddy.host, "caddy")
    assert scanned.contradicted() == {}
    assert told(caddy) == [
        ("its own", (), ("127.0.0.1:8444",), "caddy"),
        ("its own", ("int.test",), ("*:8443",), "caddy"),
        ("none", ("auto.test",), ("*:8443",), "caddy"),
        ("one", ("one.test", "www.one.test"), ("*:8443",), None),
        ("six", ("six.test", "*.six.test"), ("*:8445",), None),
        ("two", ("*.two.test",), ("*:8443",), None),
    ]
    (one,) = (binding for binding in scanned.bindings if "one.test" in binding["names"])
    assert [(file["path"], file["kind"]) for file in one["files"]] == [
        (f"{caddy.folder}/one.crt", "fullchain"),
        (f"{caddy.folder}/one.key", "key"),
    ]
    (two,) = (binding for binding in scanned.bindings if "*.two.test" in binding["names"])
    assert (two["config_file"], two["line"]) == ("/etc/caddy/corpus/1.caddy", 3)
    (about,) = scanned.result["server"]["services"]
    assert (about["name"], about["version"], about["running"]) == ("caddy", "2.6.2", True)


def load(corpus: Corpus, config: dict[str, Any]) -> None:
    """Makes Caddy run something that no file says."""
    head = ["curl", "-s", "--fail-with-body", "-H", "Content-Type: application/json", "--data-binary", "@-"]
    corpus.host.run([*head, "http://localhost:2019/load"], input=json.dumps(config))


def in_memory(corpus: Corpus) -> dict[str, Any]:
    """A configuration that loads a file, a folder and a text."""
    corpus.host.run(["install", "-d", "-m", "755", f"{corpus.folder}/folder"])
    certificates = {
        "load_files": [{"certificate": f"{corpus.folder}/mem.crt", "key": f"{corpus.folder}/mem.key"}],
        "load_folders": [f"{corpus.folder}/folder"],
        "load_pem": [
            {
                "certificate": corpus.host.read(f"{corpus.folder}/one.crt"),
                "key": corpus.host.read(f"{corpus.folder}/one.key"),
            }
        ],
    }
    servers = {"a": {"listen": ["127.0.0.1:8450-8451"], "tls_connection_policies": [{}]}}
    return {"apps": {"http": {"servers": servers}, "tls": {"certificates": certificates}}}


def test_what_runs_counts_and_not_what_its_file_says(caddy: Corpus) -> None:
    caddy.host.run(["mkdir", "-p", f"{caddy.folder}/folder/deep"])
    caddy.host.run(["cp", "-p", f"{caddy.folder}/two.pem", f"{caddy.folder}/folder/deep/two.PEM"])
    caddy.host.run(["chmod", "-R", "a+rX", f"{caddy.folder}/folder"])
    load(caddy, in_memory(caddy))
    scanned = scan(caddy.host, "caddy")
    assert scanned.contradicted() == {}
    places = ("127.0.0.1:8450", "127.0.0.1:8451")
    assert told(caddy) == [
        ("mem", ("mem.test", "*.mem.test"), places, None),
        ("none", (), (), None),
        ("two", ("two.test", "*.two.test"), places, None),
    ]
    text = json.dumps(scanned.raw)
    assert "PRIVATE KEY" not in text
    assert any(
        "a certificate of load_pem" in problem["message"]
        for one in scanned.bindings
        for problem in one["problems"]
    )


def test_what_runs_is_loaded_again_though_no_file_says_it(caddy: Corpus, authority: Authority) -> None:
    load(caddy, in_memory(caddy) | {"logging": {"logs": {"default": {"level": "ERROR"}}}})
    (mem,) = (one for one in scan(caddy.host, "caddy").bindings if one["certificate"] in caddy.fingerprints)
    issued = authority.issue("mem.test", "*.mem.test")
    outcome = deploy(caddy.host, mem, issued)
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
    running = json.loads(caddy.host.run(["curl", "-sf", "http://localhost:2019/config/"]).stdout)
    assert running["logging"]["logs"]["default"]["level"] == "ERROR"


def test_a_deploy_goes_on_serving_and_a_new_handshake_shows_the_new_certificate(
    caddy: Corpus, authority: Authority
) -> None:
    before = caddy.host.pids("caddy")
    bindings = {caddy.fingerprints.get(one["certificate"]): one for one in scan(caddy.host, "caddy").bindings}
    for name, names in (("one", ("one.test", "www.one.test")), ("six", ("six.test", "*.six.test"))):
        issued = authority.issue(*names)
        outcome = deploy(caddy.host, bindings[name], issued)
        assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
        caddy.fingerprints[issued.fingerprint] = name
    assert caddy.host.pids("caddy") == before
    assert scan(caddy.host, "caddy").contradicted() == {}


def test_what_is_not_shown_is_taken_back(caddy: Corpus, authority: Authority) -> None:
    caddy.write(
        "/etc/caddy/Caddyfile",
        CADDYFILE.replace(
            "{$PEM} {$PEM}\n",
            "{$PEM} {$PEM} {\n\t\tprotocols "
            "tls1.2 tls1.2\n\t\tciphers TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n\t}\n",
        ),
    )
    start(caddy)
    (six,) = (one for one in scan(caddy.host, "caddy").bindings if one["listeners"] == ["*:8445"])
    before = caddy.host.read(f"{caddy.folder}/six.pem")
    issued = authority.issue("six.test", "*.six.test", key_type="rsa-2048")
    outcome = deploy(caddy.host, six, issued, verify_seconds=2)
    assert outcome["state"] == "rolled_back", outcome["message"]
    assert caddy.host.read(f"{caddy.folder}/six.pem") == before
    assert scan(caddy.host, "caddy").contradicted() == {}


def test_a_broken_file_is_left_alone(caddy: Corpus, authority: Authority) -> None:
    (six,) = (one for one in scan(caddy.host, "caddy").bindings if one["listeners"] == ["*:8445"])
    caddy.write("/etc/caddy/Caddyfile", CADDYFILE + "}\n")
    outcome = deploy(caddy.host, six, authority.issue("six.test", "*.six.test"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")


def test_without_its_endpoint_the_file_is_believed_and_a_deploy_restarts(
    caddy: Corpus, authority: Authority
) -> None:
    caddy.write("/etc/caddy/Caddyfile", CADDYFILE.replace("admin {$ADMIN:localhost:2019}", "admin off"))
    start(caddy)
    scanned = scan(caddy.host, "caddy")
    assert scanned.contradicted() == {}
    assert "its admin endpoint does not tell what runs, so its file is believed" in scanned.warned()
    before = caddy.host.pids("caddy")
    (six,) = (one for one in scanned.bindings if one["listeners"] == ["*:8445"])
    issued = authority.issue("six.test", "*.six.test")
    outcome = deploy(caddy.host, six, issued)
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
    assert caddy.host.pids("caddy") != before


def test_an_endpoint_at_a_socket_is_asked_there(caddy: Corpus, authority: Authority) -> None:
    caddy.write(
        "/etc/caddy/Caddyfile", CADDYFILE.replace("{$ADMIN:localhost:2019}", "unix//var/lib/caddy/a.sock")
    )
    start(caddy)
    scanned = scan(caddy.host, "caddy")
    assert scanned.contradicted() == {}
    assert scanned.warned() == []
    assert ("one", ("one.test", "www.one.test")) in caddy.named(scanned)
    (six,) = (one for one in scanned.bindings if one["listeners"] == ["*:8445"])
    outcome = deploy(caddy.host, six, authority.issue("six.test", "*.six.test"))
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]


def test_another_at_its_endpoint_is_not_believed(caddy: Corpus) -> None:
    """Anybody may listen there where Caddy does not."""
    host = caddy.host
    caddy.write("/etc/caddy/Caddyfile", CADDYFILE.replace("admin {$ADMIN:localhost:2019}", "admin off"))
    start(caddy)
    host.write("/tmp/liar/config/index.html", json.dumps(in_memory(caddy)))
    unit = ["systemd-run", "--unit", "liar", "--uid", "nobody", "--working-directory", "/tmp/liar"]
    host.run([*unit, "python3", "-m", "http.server", "--bind", "127.0.0.1", "2019"])
    try:
        asked = ["curl", "-sf", "http://127.0.0.1:2019/config/"]
        host.wait_until(lambda: host.run(asked, check=False).returncode == 0, "it listens", 60)
        assert ("mem", ("mem.test", "*.mem.test")) not in caddy.named(scan(host, "caddy"))
    finally:
        host.run(["systemctl", "stop", "liar"])
        host.run(["rm", "-rf", "/tmp/liar"])


def test_what_does_not_run_is_read_from_its_usual_file(caddy: Corpus) -> None:
    caddy.host.run(["systemctl", "stop", "caddy"])
    caddy.write("/etc/caddy/Caddyfile", CADDYFILE.replace("{$PEM}", "%C/six.pem"))
    scanned = scan(caddy.host, "caddy")
    assert ("one", ("one.test", "www.one.test")) in caddy.named(scanned)
    assert ("six", ("six.test", "*.six.test")) in caddy.named(scanned)
    assert scanned.result["server"]["services"][0]["running"] is False
    assert not caddy.host.exists("/root/.local/share/caddy")


def test_who_is_not_root_is_told_what_could_not_be_read(caddy: Corpus) -> None:
    scanned = scan(caddy.host, "caddy", prefix=tuple(UNPRIVILEGED))
    (one,) = (binding for binding in scanned.bindings if "one.test" in binding["names"])
    assert one["certificate"] is None
    assert "unreadable" in [problem["kind"] for problem in one["problems"]]
