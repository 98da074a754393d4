"""Certificates that no server names: found where people leave them, and swapped without a word to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.authority import pem_of
from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority, Issued
    from tests.lab.host import LabHost


class Shelf:
    """Files on a host, and whose certificate each is."""

    def __init__(self, host: LabHost, authority: Authority) -> None:
        self.host = host
        self.authority = authority
        self.corpus = Corpus(host, authority)
        self.issued: dict[str, Issued] = {}

    def issue(self, name: str) -> Issued:
        """A certificate that is known by its name."""
        issued = self.authority.issue(f"{name}.test")
        self.issued[name] = issued
        self.corpus.fingerprints[issued.fingerprint] = name
        return issued

    def pair(self, name: str, certificate: str, key: str | None) -> Issued:
        """A certificate with its chain at one path, its key at another."""
        issued = self.issue(name)
        self.corpus.write(certificate, issued.certificate + issued.chain)
        if key is not None:
            self.corpus.write(key, issued.private_key)
        return issued

    def openssl(self, path: str, *arguments: str, given: str) -> None:
        """A file that openssl writes from a text."""
        self.corpus.write(path, "")
        self.host.write("/tmp/given", given)
        self.host.run(["openssl", *arguments, "-in", "/tmp/given", "-out", path])
        self.host.run(["rm", "/tmp/given"])

    def found(self, scanned: Scanned) -> dict[str, dict[str, Any]]:
        """The bindings by the name of their certificate."""
        named = self.corpus.fingerprints
        return {named[one["certificate"]]: one for one in scanned.bindings if one["certificate"] in named}


@pytest.fixture
def shelf(servers: LabHost, authority: Authority) -> Iterator[Shelf]:
    """A host whose files are put back."""
    shelf = Shelf(servers, authority)
    try:
        yield shelf
    finally:
        shelf.corpus.put_back()
        servers.run(
            ["rm", "-rf", "/etc/acme.sh", "/etc/letsencrypt/live/shelf", "/etc/letsencrypt/archive/shelf"]
        )


def paths(binding: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file["path"], file["kind"]) for file in binding["files"]]


def test_a_certificate_is_found_with_the_key_that_fits_it(shelf: Shelf) -> None:
    shelf.pair("one", "/etc/ssl/one.crt", "/etc/ssl/private/one.key")
    shelf.pair("two", "/etc/nginx/ssl/two/../two-fullchain.pem", "/etc/nginx/ssl/two.key")
    shelf.pair("three", "/etc/app/tls/cert.pem", "/etc/app/tls/key.pem")
    shelf.pair("four", "/etc/certs/server.crt", None)
    both = shelf.issue("five")
    shelf.corpus.write("/etc/ssl/private/five.pem", both.private_key + both.certificate + both.chain)
    shelf.pair("six", "/etc/acme.sh/six.test_ecc/fullchain.cer", "/etc/acme.sh/six.test_ecc/six.test.key")
    shelf.corpus.write("/etc/acme.sh/six.test_ecc/six.test.cer", shelf.issued["six"].certificate)
    shelf.corpus.write("/etc/acme.sh/six.test_ecc/ca.cer", pem_of(shelf.authority.intermediate))
    scanned = scan(shelf.host, "files")
    found = shelf.found(scanned)
    assert {name: paths(one) for name, one in found.items()} == {
        "one": [("/etc/ssl/one.crt", "fullchain"), ("/etc/ssl/private/one.key", "key")],
        "two": [("/etc/nginx/ssl/two-fullchain.pem", "fullchain"), ("/etc/nginx/ssl/two.key", "key")],
        "three": [("/etc/app/tls/cert.pem", "fullchain"), ("/etc/app/tls/key.pem", "key")],
        "four": [("/etc/certs/server.crt", "fullchain")],
        "five": [("/etc/ssl/private/five.pem", "combined")],
        "six": [
            ("/etc/acme.sh/six.test_ecc/fullchain.cer", "fullchain"),
            ("/etc/acme.sh/six.test_ecc/six.test.key", "key"),
        ],
    }
    for name, binding in found.items():
        assert (binding["names"], binding["listeners"], binding["line"]) == ([], [], 1)
        assert binding["config_file"] == binding["files"][0]["path"]
        assert binding["managed_by"] == ("acme.sh" if name == "six" else None)
        kinds = {problem["kind"] for problem in binding["problems"]}
        assert kinds <= {"key_readable_by_others"}
    assert "PRIVATE" not in repr(scanned.raw)


def test_every_form_is_read_as_what_it_is(shelf: Shelf) -> None:
    made = {name: shelf.issue(name) for name in ("der", "pkcs7", "pem7", "open", "closed", "java")}
    whole = {name: one.certificate + one.chain for name, one in made.items()}
    shelf.openssl("/etc/ssl/one.der", "x509", "-outform", "DER", given=made["der"].certificate)
    for name, form in (("pkcs7", "DER"), ("pem7", "PEM")):
        given = made[name].chain + made[name].certificate
        path = f"/etc/ssl/{name}.p7b"
        shelf.corpus.write("/tmp/all.pem", given)
        shelf.corpus.write(path, "")
        shelf.host.run(
            ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "/tmp/all.pem", "-outform", form, "-out", path]
        )
    export = ("pkcs12", "-export", "-name", "it")
    shelf.openssl(
        "/etc/ssl/closed.p12",
        *export,
        "-passout",
        "pass:secret",
        given=whole["closed"] + made["closed"].private_key,
    )
    clear = ("-certpbe", "NONE", "-keypbe", "NONE", "-nomac", "-passout", "pass:")
    shelf.openssl("/etc/ssl/open.pfx", *export, *clear, given=whole["open"] + made["open"].private_key)
    shelf.openssl(
        "/tmp/java.p12", *export, "-passout", "pass:changeit", given=whole["java"] + made["java"].private_key
    )
    move = ["keytool", "-importkeystore", "-noprompt", "-srckeystore", "/tmp/java.p12", "-destkeystore"]
    shelf.corpus.write("/etc/tomcat10/java.jks", "")
    shelf.host.run(["rm", "/etc/tomcat10/java.jks"])
    both = ["-srcstorepass", "changeit", "-deststorepass", "changeit", "-deststoretype", "JKS"]
    shelf.host.run([*move, "/etc/tomcat10/java.jks", *both])
    scanned = scan(shelf.host, "files")
    found = shelf.found(scanned)
    assert {name: paths(one) for name, one in found.items()} == {
        "der": [("/etc/ssl/one.der", "der")],
        "pkcs7": [("/etc/ssl/pkcs7.p7b", "pkcs7")],
        "pem7": [("/etc/ssl/pem7.p7b", "pkcs7")],
        "open": [("/etc/ssl/open.pfx", "pkcs12")],
        "java": [("/etc/tomcat10/java.jks", "jks")],
    }
    (closed,) = (one for one in scanned.bindings if paths(one) == [("/etc/ssl/closed.p12", "pkcs12")])
    message = "/etc/ssl/closed.p12: nobody has told its password, and it is encrypted"
    assert closed["problems"] == [{"kind": "unresolved", "message": message}]
    assert closed["certificate"] is None
    for name in ("pkcs7", "pem7", "java"):
        assert "chain_incomplete" not in [problem["kind"] for problem in found[name]["problems"]]
    for name in ("der", "pem7", "java"):
        outcome = deploy(shelf.host, found[name], made[name])
        assert outcome["state"] == "refused", outcome


def test_what_the_system_brings_along_is_left_out(shelf: Shelf) -> None:
    shelf.corpus.write("/etc/ssl/ca.pem", pem_of(shelf.authority.root) + pem_of(shelf.authority.intermediate))
    shelf.corpus.write(
        "/etc/ssl/dh.pem", "-----BEGIN DH PARAMETERS-----\nMA==\n-----END DH PARAMETERS-----\n"
    )
    shelf.corpus.write("/etc/ssl/private/alone.key", shelf.issue("alone").private_key)
    scanned = scan(shelf.host, "files")
    assert shelf.host.run(["ls", "/etc/ssl/certs"]).stdout.count("\n") > 100
    assert scanned.bindings == []
    assert scanned.warned() == []


def test_what_another_kind_has_named_is_not_told_twice(shelf: Shelf) -> None:
    host = shelf.host
    issued = shelf.issue("shop")
    lineage, archive = "/etc/letsencrypt/live/shelf", "/etc/letsencrypt/archive/shelf"
    for name, text in (
        ("cert", issued.certificate),
        ("chain", issued.chain),
        ("fullchain", issued.certificate + issued.chain),
        ("privkey", issued.private_key),
    ):
        shelf.corpus.write(f"{archive}/{name}1.pem", text)
        host.run(["mkdir", "-p", lineage])
        host.run(["ln", "-sf", f"../../archive/shelf/{name}1.pem", f"{lineage}/{name}.pem"])
    (alone,) = shelf.found(scan(host, "files")).values()
    assert paths(alone) == [(f"{lineage}/fullchain.pem", "fullchain"), (f"{lineage}/privkey.pem", "key")]
    assert alone["managed_by"] == "certbot"
    site = f"ssl_certificate {lineage}/fullchain.pem; ssl_certificate_key {lineage}/privkey.pem;"
    shelf.corpus.write("/etc/nginx/conf.d/shelf.conf", f"server {{ listen 8441 ssl; {site} }}\n")
    both = [one["service"] for one in scan(host).bindings if one["certificate"] == issued.fingerprint]
    assert both == ["nginx"]


def test_places_that_are_asked_for_are_looked_at(shelf: Shelf) -> None:
    shelf.pair("deep", "/srv/shelf/deep/own.certificate", "/srv/shelf/deep/own.key")
    shelf.pair("wide", "/srv/shelf/wide.pem", "/srv/shelf/wide-key.pem")
    wanted = {"files": ["/srv/shelf/*/own.c*", "/srv/shelf", "/srv/gone/*.pem", "/srv/gone.pem"]}
    scanned = scan(shelf.host, "files", paths=wanted)
    assert set(shelf.found(scanned)) == {"deep", "wide"}
    assert scanned.warned() == ["nothing is found at /srv/gone/*.pem", "nothing is found at /srv/gone.pem"]
    assert shelf.found(scan(shelf.host, "files")) == {}


def test_what_is_wrong_with_a_pair_is_told(shelf: Shelf) -> None:
    shelf.pair("one", "/etc/ssl/one.crt", "/etc/ssl/one.key")
    shelf.corpus.write("/etc/ssl/one.key", shelf.issue("other").private_key)
    issued = shelf.issue("cut")
    shelf.corpus.write("/etc/ssl/cut.pem", issued.certificate[:200])
    shelf.corpus.write("/etc/ssl/text.crt", "hello")
    scanned = scan(shelf.host, "files")
    told = {
        one["files"][0]["path"]: [problem["kind"] for problem in one["problems"]] for one in scanned.bindings
    }
    assert "key_mismatch" in told["/etc/ssl/one.crt"]
    assert told["/etc/ssl/cut.pem"] == ["malformed"]
    assert scanned.warned() == ["no certificate can be read in /etc/ssl/text.crt: no PEM in it"]


def test_a_deploy_swaps_the_files_and_says_that_nothing_reloads_them(shelf: Shelf) -> None:
    shelf.pair("one", "/etc/ssl/one.crt", "/etc/ssl/private/one.key")
    shelf.host.run(["chmod", "640", "/etc/ssl/private/one.key"])
    shelf.host.run(["chown", "root:ssl-cert", "/etc/ssl/private/one.key"], check=False)
    owner = shelf.host.run(["stat", "-c", "%U %G %a", "/etc/ssl/private/one.key"]).stdout
    binding = shelf.found(scan(shelf.host, "files"))["one"]
    new = shelf.authority.issue("one.test")
    planned = deploy(shelf.host, binding, new, check=True)
    assert planned["message"] == "would replace /etc/ssl/one.crt, /etc/ssl/private/one.key"
    outcome = deploy(shelf.host, binding, new)
    assert (outcome["state"], outcome["reason"], outcome["changed"]) == ("staged", "nothing_to_reload", True)
    assert "nothing was reloaded and nothing verified" in outcome["message"]
    assert shelf.host.read("/etc/ssl/one.crt") == new.certificate + new.chain
    assert shelf.host.read("/etc/ssl/private/one.key") == new.private_key
    assert shelf.host.run(["stat", "-c", "%U %G %a", "/etc/ssl/private/one.key"]).stdout == owner
    again = scan(shelf.host, "files")
    (same,) = (one for one in again.bindings if one["certificate"] == new.fingerprint)
    second = deploy(shelf.host, same, new)
    assert (second["state"], second["changed"]) == ("staged", False)


def test_whoever_listens_on_the_host_has_nothing_to_do_with_files_that_no_server_names(shelf: Shelf) -> None:
    shelf.pair("one", "/etc/ssl/one.crt", "/etc/ssl/private/one.key")
    shelf.pair("two", "/etc/nginx/two.crt", "/etc/nginx/two.key")
    site = "ssl_certificate /etc/nginx/two.crt; ssl_certificate_key /etc/nginx/two.key;"
    shelf.corpus.write("/etc/nginx/conf.d/shelf.conf", f"server {{ listen 8441 ssl; {site} }}\n")
    found = shelf.found(scan(shelf.host, "files"))["one"]
    shelf.host.run(["systemctl", "restart", "nginx"])
    try:
        binding = {**found, "listeners": ["*:8441"], "names": ["one.test"]}
        outcome = deploy(shelf.host, binding, shelf.authority.issue("one.test"))
    finally:
        shelf.host.run(["systemctl", "stop", "nginx"])
    assert (outcome["state"], outcome["reason"]) == ("staged", "nothing_to_reload")


def test_a_deploy_that_cannot_write_leaves_every_file_as_it_was(shelf: Shelf) -> None:
    old = shelf.pair("one", "/etc/ssl/one.crt", "/srv/shelf/closed/one.key")
    host = shelf.host
    host.run(["mount", "--bind", "/srv/shelf/closed", "/srv/shelf/closed"])
    try:
        binding = shelf.found(scan(host, "files"))["one"]
        key = {**binding["files"][0], "path": "/srv/shelf/closed/one.key", "kind": "key", "sha256": None}
        host.run(["mount", "-o", "remount,bind,ro", "/srv/shelf/closed"])
        outcome = deploy(
            host, {**binding, "files": [binding["files"][0], key]}, shelf.authority.issue("one.test")
        )
        assert outcome["state"] == "blocked_by_host"
        assert host.read("/etc/ssl/one.crt") == old.certificate + old.chain
    finally:
        host.run(["umount", "/srv/shelf/closed"])


def test_a_certificate_without_a_key_is_not_deployed_to(shelf: Shelf) -> None:
    shelf.pair("four", "/etc/certs/server.crt", None)
    binding = shelf.found(scan(shelf.host, "files"))["four"]
    outcome = deploy(shelf.host, binding, shelf.authority.issue("four.test"))
    assert (outcome["state"], outcome["reason"]) == ("refused", "no_key_file")


def test_without_rights_it_says_where_it_could_not_look(shelf: Shelf) -> None:
    shelf.pair("one", "/etc/ssl/one.crt", "/etc/ssl/private/one.key")
    shelf.host.run(["chmod", "700", "/etc/ssl/private"])
    try:
        scanned = scan(shelf.host, "files", prefix=tuple(UNPRIVILEGED))
        assert paths(shelf.found(scanned)["one"]) == [("/etc/ssl/one.crt", "fullchain")]
        assert "/etc/ssl/private cannot be listed: certificates in it are not found" in scanned.warned()
    finally:
        shelf.host.run(["chmod", "710", "/etc/ssl/private"])
