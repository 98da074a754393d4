"""T13: a deploy into keystores, which the real Tomcat then shows; Java finds all else in them as it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import deploy, scan, send
from tests.integration.services.test_tomcat import _DROP_IN, Tomcat, tomcat

if TYPE_CHECKING:
    from tests.authority import Authority, Issued

__all__ = ["tomcat"]

_PASSWORD = "s3cret-of-the-store"
#: A PKCS#12 that keytool has made, so that more than one key fits in.
_AS_MADE = {"PKCS12": "MANY"}
_CONNECTOR = """
    <Connector port="8443" SSLEnabled="true"><SSLHostConfig>
      <Certificate certificateKeystoreFile="%s" certificateKeystorePassword="s3cret-of-the-store"
        certificateKeyAlias="shop" %s/></SSLHostConfig></Connector>
"""


def entries(tomcat: Tomcat, path: str, form: str) -> dict[str, str]:
    """What Java says of each entry: its kind and the certificates in it."""
    told = tomcat.host.run(
        ["keytool", "-list", "-v", "-keystore", path, "-storetype", form, "-storepass", _PASSWORD]
    ).stdout
    found = {}
    for part in told.split("Alias name: ")[1:]:
        kind = re.findall(r"Entry type: (\w+)", part)
        found[part.split("\n")[0]] = " ".join(kind + re.findall(r"SHA256: ([0-9A-F:]+)", part))
    return found


def filled(tomcat: Tomcat, form: str) -> str:
    """A keystore of a form with two keys, a trusted certificate and, where the form has it, a secret key."""
    path = tomcat.keystore(f"shop.{form}", "other", "shop", password=_PASSWORD, form=_AS_MADE.get(form, form))
    trusted = tomcat.corpus.authority.issue("trusted.test")
    tomcat.host.write("/tmp/trusted.pem", trusted.certificate)
    options = ["-keystore", path, "-storetype", form, "-storepass", _PASSWORD]
    keytool = ["keytool", "-noprompt"]
    tomcat.host.run(
        [
            *keytool[:1],
            "-importcert",
            *keytool[1:],
            "-alias",
            "trusted",
            "-file",
            "/tmp/trusted.pem",
            *options,
        ]
    )
    if form != "JKS":
        tomcat.host.run(
            ["keytool", "-genseckey", "-alias", "secret", "-keyalg", "AES", "-keysize", "128", *options]
        )
    return path


@pytest.mark.parametrize("form", ["JKS", "JCEKS", "PKCS12"])
def test_t13_a_keystore_gets_the_new_certificate_in_one_entry_and_tomcat_shows_it(
    tomcat: Tomcat, authority: Authority, form: str
) -> None:
    """The JKS keeps its name where its content is PKCS#12, as half of the fleets have it."""
    path = filled(tomcat, form)
    tomcat.configure(_CONNECTOR % (path, f'certificateKeystoreType="{form}"'))
    tomcat.start(8443)
    before = entries(tomcat, path, form)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    issued = authority.issue("shop.test")
    outcome = deploy(tomcat.host, binding, issued)
    assert outcome["state"] == "deployed", outcome["message"]
    assert outcome["live_fingerprint"] == issued.fingerprint
    assert outcome["before_fingerprint"] == binding["certificate"]
    assert tomcat.shown(8443) == issued.fingerprint
    after = entries(tomcat, path, form)
    assert issued.fingerprint.upper() in after["shop"].replace(":", "")
    assert {alias: told for alias, told in after.items() if alias != "shop"} == {
        alias: told for alias, told in before.items() if alias != "shop"
    }
    again = deploy(
        tomcat.host, {**binding, "files": [{**one, "sha256": None} for one in binding["files"]]}, issued
    )
    assert again["state"] == "unchanged"
    assert tomcat.host.run(["stat", "-c", "%a", path]).stdout.strip() == "644"


def test_t13_the_password_of_a_key_that_differs_from_the_keystore_s_is_kept(
    tomcat: Tomcat, authority: Authority
) -> None:
    path = filled(tomcat, "JKS")
    change = ["keytool", "-keypasswd", "-alias", "shop", "-keystore", path, "-storepass", _PASSWORD]
    tomcat.host.run([*change, "-keypass", _PASSWORD, "-new", "an0ther-secret"])
    tomcat.configure(_CONNECTOR % (path, 'certificateKeyPassword="an0ther-secret"'))
    tomcat.start(8443)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    issued = authority.issue("shop.test", key_type="rsa-2048")
    outcome = deploy(tomcat.host, binding, issued)
    assert outcome["state"] == "deployed", outcome["message"]
    assert outcome["live_fingerprint"] == issued.fingerprint
    assert tomcat.shown(8443) == issued.fingerprint
    told = repr(outcome)
    assert "s3cret" not in told
    assert "an0ther" not in told


def test_t13_two_entries_of_one_keystore_are_deployed_in_one_transaction(
    tomcat: Tomcat, authority: Authority
) -> None:
    """An RSA and an ECDSA certificate for the same connector, each under an alias of its own."""
    path = filled(tomcat, "PKCS12")
    rsa, ec = authority.issue("shop.test", key_type="rsa-2048"), authority.issue("shop.test")
    certificates = "".join(
        f'<Certificate type="{kind}" certificateKeystoreFile="{path}" certificateKeyAlias="{alias}"'
        f' certificateKeystorePassword="{_PASSWORD}"/>'
        for kind, alias in (("EC", "shop"), ("RSA", "other"))
    )
    connector = f'<Connector port="8443" SSLEnabled="true"><SSLHostConfig>{certificates}</SSLHostConfig>'
    tomcat.configure(connector + "</Connector>")
    request = _request(path, {"shop": ec, "other": rsa})
    first = send(tomcat.host, request)["deployments"]
    assert [one["state"] for one in first] == ["staged", "staged"], (
        first
    )  # both keys were ECDSA: it did not run
    tomcat.start(8443)
    newer = {"shop": authority.issue("shop.test"), "other": authority.issue("shop.test", key_type="rsa-2048")}
    before = _transactions(tomcat)
    outcomes = send(tomcat.host, _request(path, newer))["deployments"]
    assert [(one["state"], one["live_fingerprint"]) for one in outcomes] == [
        ("deployed", newer["shop"].fingerprint),
        ("deployed", newer["other"].fingerprint),
    ], outcomes
    assert len(_transactions(tomcat) - before) == 1


def test_t13_a_restart_that_fails_with_the_new_keystore_brings_the_old_one_back(
    tomcat: Tomcat, authority: Authority
) -> None:
    path = filled(tomcat, "JKS")
    tomcat.configure(_CONNECTOR % (path, ""))
    tomcat.start(8443)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    digest = tomcat.host.sha256(path)
    only = f"ExecStartPre=/bin/sh -c 'sha256sum {path} | grep -q {digest}'"
    tomcat.corpus.write(_DROP_IN, f"[Service]\n{only}\n")
    tomcat.host.run(["systemctl", "daemon-reload"])
    outcome = deploy(tomcat.host, binding, authority.issue("shop.test"))
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed")
    assert tomcat.host.sha256(path) == digest
    assert tomcat.shown(8443) == binding["certificate"]


def test_a_password_that_does_not_open_the_keystore_is_refused_and_told_nowhere(
    tomcat: Tomcat, authority: Authority
) -> None:
    path = tomcat.keystore("shop.p12", "shop", password="the-right-one")
    tomcat.configure(_CONNECTOR % (path, ""))
    before = tomcat.host.sha256(path)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    outcome = deploy(tomcat.host, binding, authority.issue("shop.test"))
    assert (outcome["state"], outcome["reason"]) == ("refused", "wrong_password")
    assert "s3cret" not in repr(outcome)
    assert tomcat.host.sha256(path) == before


def _request(path: str, issued: dict[str, Issued]) -> dict[str, Any]:
    deployments = [
        {
            "id": f"dep-{alias}",
            "certificate": alias,
            "bundle": alias,
            "service": "tomcat",
            "names": ["shop.test"],
            "listeners": ["*:8443"],
            "files": [{"path": path, "kind": "pkcs12", "sha256": None, "alias": alias}],
        }
        for alias in issued
    ]
    bundles = {alias: one.bundle() for alias, one in issued.items()}
    return {"op": "deploy", "deployments": deployments, "bundles": bundles, "verify_seconds": 8}


def _transactions(tomcat: Tomcat) -> set[str]:
    return set(tomcat.host.run(["ls", "/var/lib/notafter/transactions"], check=False).stdout.split())
