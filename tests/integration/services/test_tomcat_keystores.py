"""T13: a deploy into keystores, which the real Tomcat then shows; Java finds all else in them as it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.integration.hosts import deploy, scan, send
from tests.integration.services.test_tomcat import Tomcat, tomcat

if TYPE_CHECKING:
    from tests.authority import Authority, Issued

__all__ = ["tomcat"]

_PASSWORD = "s3cret-of-the-store"
_KEY_PASSWORD = "an0ther-of-the-key"
_CONNECTORS = """
    <Connector port="8443" SSLEnabled="true"><SSLHostConfig>
      <Certificate certificateKeystoreFile="%C/one.jks" certificateKeystorePassword="s3cret-of-the-store"
        certificateKeyAlias="shop" certificateKeyPassword="an0ther-of-the-key"/></SSLHostConfig></Connector>
    <Connector port="8444" SSLEnabled="true"><SSLHostConfig>
      <Certificate certificateKeystoreFile="%C/one.jceks" certificateKeystorePassword="s3cret-of-the-store"
        certificateKeystoreType="JCEKS" certificateKeyAlias="shop"/></SSLHostConfig></Connector>
    <Connector port="8445" SSLEnabled="true"><SSLHostConfig>
      <Certificate type="EC" certificateKeystoreFile="%C/pair.jks" certificateKeyAlias="shop"
        certificateKeystorePassword="s3cret-of-the-store"/>
      <Certificate type="RSA" certificateKeystoreFile="%C/pair.jks" certificateKeyAlias="other"
        certificateKeystorePassword="s3cret-of-the-store"/></SSLHostConfig></Connector>
"""
#: Each place: its listener, its file as the scan calls it, its alias, the kind of its new key.
_PLACES = {
    "jks": (8443, "one.jks", "jks", "shop", "rsa-2048"),
    "jceks": (8444, "one.jceks", "jks", "shop", "ec-256"),
    "ec": (8445, "pair.jks", "pkcs12", "shop", "ec-256"),
    "rsa": (8445, "pair.jks", "pkcs12", "other", "rsa-2048"),
}


def entries(tomcat: Tomcat, file: str) -> dict[str, list[str]]:
    """What Java says of each entry: its kind and the certificates in it."""
    list_all = ["keytool", "-list", "-v", "-keystore", f"{tomcat.corpus.folder}/{file}"]
    told = tomcat.host.run([*list_all, "-storepass", _PASSWORD, *_type(file)]).stdout
    found = {}
    for part in told.split("Alias name: ")[1:]:
        kind = re.findall(r"Entry type: (\w+)", part)
        marks = [mark.replace(":", "") for mark in re.findall(r"SHA256: ([0-9A-F:]+)", part)]
        found[part.split("\n")[0]] = kind + marks
    return found


def _type(file: str) -> list[str]:
    return ["-storetype", "JCEKS"] if file.endswith("jceks") else []


def keytool(tomcat: Tomcat, file: str, *arguments: str) -> None:
    """Changes a keystore as an administrator would."""
    path = f"{tomcat.corpus.folder}/{file}"
    options = ["-keystore", path, "-storepass", _PASSWORD, *_type(file)]
    tomcat.host.run(["keytool", *arguments, *options])


def filled(tomcat: Tomcat) -> None:
    """A JKS whose key has a password of its own, a JCEKS with a secret key, a PKCS#12 that is called .jks."""
    tomcat.keystore("one.jks", "other", "shop", password=_PASSWORD, form="JKS")
    keytool(tomcat, "one.jks", "-keypasswd", "-alias", "shop", "-keypass", _PASSWORD, "-new", _KEY_PASSWORD)
    tomcat.keystore("one.jceks", "shop", password=_PASSWORD, form="JCEKS")
    keytool(tomcat, "one.jceks", "-genseckey", "-alias", "a-secret", "-keyalg", "AES", "-keysize", "128")
    tomcat.keystore("pair.jks", "other", "shop", password=_PASSWORD, form="MANY")
    trusted = tomcat.corpus.authority.issue("trusted.test")
    tomcat.corpus.fingerprints[trusted.fingerprint] = "a-ca"
    tomcat.host.write("/tmp/trusted.pem", trusted.certificate)
    keytool(tomcat, "pair.jks", "-importcert", "-noprompt", "-alias", "a-ca", "-file", "/tmp/trusted.pem")


def request(tomcat: Tomcat, issued: dict[str, Issued]) -> dict[str, Any]:
    """A deploy to all places."""
    deployments = [
        {
            "id": f"dep-{key}",
            "certificate": key,
            "bundle": key,
            "service": "tomcat",
            "names": ["shop.test"],
            "listeners": [f"*:{port}"],
            "files": [
                {"path": f"{tomcat.corpus.folder}/{file}", "kind": kind, "sha256": None, "alias": alias}
            ],
        }
        for key, (port, file, kind, alias, _key_type) in _PLACES.items()
    ]
    bundles = {key: one.bundle() for key, one in issued.items()}
    return {"op": "deploy", "deployments": deployments, "bundles": bundles, "verify_seconds": 8}


def test_t13_keystores_get_a_new_certificate_in_one_entry_each_and_tomcat_shows_them(
    tomcat: Tomcat, authority: Authority
) -> None:
    """Four entries of three keystores, a pair for one connector among them, by one restart."""
    filled(tomcat)
    tomcat.configure(_CONNECTORS.replace("%C", tomcat.corpus.folder))
    tomcat.start(8443, 8444)
    issued = {key: authority.issue("shop.test", key_type=place[4]) for key, place in _PLACES.items()}
    outcomes = send(tomcat.host, request(tomcat, issued))["deployments"]
    told = {one["certificate"]: (one["state"], one["live_fingerprint"]) for one in outcomes}
    expected = {key: ("deployed", one.fingerprint) for key, one in issued.items()}
    assert told == expected, [one["message"] for one in outcomes]
    assert tomcat.shown(8443) == issued["jks"].fingerprint
    before = {mark.upper(): alias for mark, alias in tomcat.corpus.fingerprints.items()}
    others = {"one.jks": {"other"}, "one.jceks": {"a-secret"}, "pair.jks": {"a-ca"}}
    for file, kept in others.items():
        found = entries(tomcat, file)
        ours = {place[3]: key for key, place in _PLACES.items() if place[1] == file}
        assert set(found) == set(ours) | kept
        assert all(issued[key].fingerprint.upper() in found[alias] for alias, key in ours.items())
        assert found.get("a-secret", ["SecretKeyEntry"]) == ["SecretKeyEntry"]
        assert all(alias in {before.get(one) for one in found[alias]} for alias in kept - {"a-secret"})
    assert not any(secret in repr(outcomes) for secret in (_PASSWORD, _KEY_PASSWORD))


def test_a_password_that_does_not_open_the_keystore_is_refused_and_told_nowhere(
    tomcat: Tomcat, authority: Authority
) -> None:
    path = tomcat.keystore("shop.p12", "shop", password="the-right-one")
    tomcat.configure(
        '<Connector port="8443" SSLEnabled="true"><SSLHostConfig>'
        f'<Certificate certificateKeystoreFile="{path}" certificateKeystorePassword="{_PASSWORD}"/>'
        "</SSLHostConfig></Connector>"
    )
    before = tomcat.host.sha256(path)
    (binding,) = scan(tomcat.host, "tomcat").bindings
    outcome = deploy(tomcat.host, binding, authority.issue("shop.test"))
    assert (outcome["state"], outcome["reason"]) == ("refused", "wrong_password")
    assert _PASSWORD not in repr(outcome)
    assert tomcat.host.sha256(path) == before
