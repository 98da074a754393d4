# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystores, DER and PKCS#7: certificates come out of them, and nothing else does."""

from __future__ import annotations

import json
import os
import random
import struct
import time
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import commands
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _keystore,
    _keystore_forms,
    _material,
    _reading,
)
from ansible_collections.notafter.tls.tests.unit.plugins import scanning, stores
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made

Opening = _keystore.Opening
GIVEN = scanning.issue("a.test")
STORE = stores.jks(stores.key_entry("one", GIVEN), stores.trusted_entry("two", GIVEN))


def read(data: bytes, password: str | None = None, alias: str | None = None) -> _keystore.Store:
    form = _keystore_forms.contents(data).form
    assert form in _keystore_forms.KEYSTORES
    return _keystore.read(data, form, Opening(password, alias, "server.xml, line 3"))


def place(path: Path, data: bytes, opening: Opening) -> tuple[_material.Place, _material.Materials]:
    """What a server that opens a keystore so is said to show."""
    path.write_bytes(data)
    path.chmod(0o600)
    materials = _material.Materials(_reading.Reader(30.0))
    return materials.keystore_place(str(path), opening), materials


@pytest.mark.parametrize("magic", [stores.JKS, stores.JCEKS])
def test_certificates_of_java_s_own_keystores_lie_in_clear(issue: Issue, authority: Made, magic: int) -> None:
    made, other = issue("a.test", by=authority), issue("b.test")
    data = stores.jks(stores.key_entry("Shop", made), stores.trusted_entry("ca", other), magic=magic)
    store = read(data)
    assert store.trouble is None
    assert {one.alias: (one.has_key, len(one.chain)) for one in store.entries} == {
        "Shop": (True, 2),
        "ca": (False, 1),
    }
    assert store.chosen("sHOP") == store.chosen(None) != store.chosen("ca")
    assert store.chosen("gone") is None


def test_a_wrong_password_is_told_with_its_place_and_never_itself() -> None:
    assert read(STORE, "changeit").trouble is None
    wrong = read(STORE, "s3cret")
    assert wrong.trouble == "the password in server.xml, line 3 does not open it"
    assert {one.alias for one in wrong.entries} == {"one", "two"}
    assert read(stores.pfx(GIVEN, "right"), "s3cret") == ([], wrong.trouble)


def test_entries_come_in_the_order_of_java_s_hashtable(issue: Issue) -> None:
    """A keystore that keytool wrote in this order; the Tomcat that was given no alias showed theta."""
    aliases = ["theta", "iota", "gamma", "alpha", "eta", "kappa", "zeta", "beta", "delta", "epsilon"]
    made = issue("a.test")
    store = read(stores.jks(*(stores.key_entry(alias, made) for alias in aliases)))
    assert [one.alias for one in store.entries] == aliases
    assert _keystore._java_hash("hello") == 99162322
    assert _keystore._java_hash("polygenelubricants") == 0  # Integer.MIN_VALUE without its sign


def test_pkcs12_with_and_without_a_password(issue: Issue, authority: Made) -> None:
    made = issue("a.test", by=authority)
    for data, password in (
        (stores.pfx(made, "it's \u201codd\u201d & \u00fcnlike"), "it's \u201codd\u201d & \u00fcnlike"),
        (stores.pfx(made, None), None),
    ):
        store = read(data, password)
        assert store.trouble is None
        (entry,) = store.entries
        assert entry.alias == "it"
        assert entry.has_key
        assert entry.chain == [stores.der(made.certificate), *map(stores.der, stores.above(made))]
    unknown = read(stores.pfx(made, "x"))
    assert unknown == ([], "nobody has told its password, and it is encrypted")


def test_an_alias_that_is_no_latin_is_found(issue: Issue) -> None:
    data = stores.pfx(issue("a.test"), "x", alias="Größe-名前")
    assert read(data, "x", "größe-名前").chosen("größe-名前") is not None
    assert read(data, "x").chosen("other") is None


def test_the_password_goes_through_a_pipe_alone(issue: Issue, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[t.Any, ...]] = []
    run = commands.run

    def watch(argv: list[str], *others: t.Any, **named: t.Any) -> commands.Result:
        seen.append((argv, others, {key: value for key, value in named.items() if key != "input"}))
        return run(argv, *others, **named)

    monkeypatch.setattr(commands, "run", watch)
    before = set(os.listdir("/proc/self/fd"))
    assert read(stores.pfx(issue("a.test"), "s3cret"), "s3cret").trouble is None
    assert seen != []
    assert "s3cret" not in repr(seen)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("password", ["two\nlines", "nul\0", "x" * 2000])
def test_a_password_that_cannot_be_sent_is_not(issue: Issue, password: str) -> None:
    store = read(stores.pfx(issue("a.test"), "x"), password)
    assert store == ([], "the password in server.xml, line 3 cannot be handed to openssl")


def test_nothing_but_certificates_leaves_a_keystore(tmp_path: Path, issue: Issue, authority: Made) -> None:
    made = issue("a.test", by=authority)
    secret = made.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (
        stores.pfx(made, "x"),
        stores.pfx(made, None),
        stores.jks(stores.key_entry("it", made, secret)),
    ):
        found, materials = place(tmp_path / "store", data, Opening("x", None, "here"))
        assert found.leaf == made.fingerprint
        assert materials.chains[str(found.chain)] == authority.pem
        everything = json.dumps([found.files, found.problems, materials.certificates, materials.chains])
        assert "PRIVATE" not in everything
        assert set(materials.certificates.values()) == {made.pem, authority.pem}


def test_a_key_that_calls_itself_a_certificate_does_not_leave_a_keystore(issue: Issue) -> None:
    made = issue("a.test", key="rsa-2048")
    for form in ("PKCS8", "TraditionalOpenSSL"):
        secret = made.key.private_bytes(
            serialization.Encoding.DER,
            getattr(serialization.PrivateFormat, form),
            serialization.NoEncryption(),
        )
        true = stores.der(GIVEN.certificate)
        data = STORE.replace(struct.pack(">I", len(true)) + true, struct.pack(">I", len(secret)) + secret)
        store = read(data)
        assert store.entries == []
        assert "damaged" in str(store.trouble)


def test_what_is_wrong_with_a_keystore_is_a_problem(tmp_path: Path, issue: Issue) -> None:
    made = issue("a.test")
    file = tmp_path / "store"

    def kinds(data: bytes, opening: Opening | None = None) -> list[str]:
        found, _materials = place(file, data, opening or Opening())
        return [kind for kind, _message in found.problems]

    shown, _materials = place(file, stores.jks(stores.key_entry("a", made)), Opening())
    assert [file["alias"] for file in shown.files] == ["a"]
    assert kinds(b"hello") == ["malformed"]
    assert kinds(made.pem.encode()) == ["malformed"]
    assert kinds(stores.jks(stores.trusted_entry("a", made))) == ["malformed"]
    assert kinds(stores.jks(stores.key_entry("a", made)), Opening(alias="b")) == ["malformed"]
    assert kinds(stores.jks(stores.key_entry("a", made))[:100]) == ["unresolved"]
    assert kinds(stores.jks(stores.key_entry("a", made)), Opening("wrong")) == ["unresolved"]
    missing = _material.Materials(_reading.Reader(30.0)).keystore_place(str(tmp_path / "gone.jks"), Opening())
    assert ([kind for kind, _message in missing.problems], missing.files[0]["kind"]) == (["missing"], "jks")


def test_x2_a_keystore_of_thousands_of_secret_keys_is_told_as_such() -> None:
    secret = struct.pack(">I", 3) + stores._text("s") + bytes(8) + b"sealed"
    data = struct.pack(">III", stores.JCEKS, 2, 5000) + secret * 5000 + bytes(20)
    _pieces, _end, trouble = _keystore.java_pieces(data)
    assert trouble == "the keystore has too many secret keys"


def test_what_comes_after_a_secret_key_is_found(issue: Issue) -> None:
    """It does not say how long it is, and may have in it what looks like an entry."""
    like_one = b"\xac\xed serialized" + struct.pack(">I", 2) + stores._text("no") + b"\0" * 40
    secret = struct.pack(">I", 3) + stores._text("s") + struct.pack(">Q", 0) + like_one
    first, last = stores.key_entry("a", issue("a.test")), stores.trusted_entry("b", issue("b.test"))
    for entries in (
        (first, secret),
        (first, secret, secret),
        (secret, first),
        (secret, secret, first, secret, last),
    ):
        store = read(stores.jks(*entries, magic=stores.JCEKS), "changeit")
        assert store.trouble is None
        assert {one.alias for one in store.entries} >= {"a"}
    assert {one.alias for one in store.entries} == {"a", "b"}


def test_where_nothing_fits_after_a_secret_key_it_is_said(issue: Issue) -> None:
    secret = struct.pack(">I", 3) + stores._text("s") + struct.pack(">Q", 0) + b"\xac\xed serialized"
    first = stores.key_entry("a", issue("a.test"))
    store = read(stores.jks(first, secret, b"\0\0\0\1 damaged", magic=stores.JCEKS))
    assert [one.alias for one in store.entries] == ["a"]
    assert store.trouble == "the keystore is not whole: what comes after a secret key is not read"


def test_numbers_that_lie_cost_nothing() -> None:
    start = time.process_time()
    for count in (-1, 0x7FFFFFFF, 0x80000000, 5000):
        for size in (-1, 0x7FFFFFFF):
            head = struct.pack(">IIi", stores.JKS, 2, count % 2**31 - 2**31 * (count >= 2**31))
            entry = struct.pack(">I", 1) + stores._text("a") + struct.pack(">Qi", 0, size)
            assert read(head + entry * 9).trouble is not None
    assert time.process_time() - start < 2


class TestForms:
    """DER and PKCS#7, told by their content."""

    def test_a_certificate_in_der(self, issue: Issue) -> None:
        made = issue("a.test")
        found = _keystore_forms.contents(stores.der(made.certificate) + b"trailer")
        assert found == ("der", [stores.der(made.certificate)], False, None)

    @pytest.mark.parametrize("form", ["DER", "PEM"])
    def test_a_bundle_has_the_leaf_first(self, issue: Issue, authority: Made, form: str) -> None:
        made = issue("a.test", by=authority)
        found = _keystore_forms.contents(stores.bundle(made, form=form))
        assert (found.form, found.trouble) == ("pkcs7", None)
        assert found.certificates == [stores.der(one) for one in (made.certificate, *stores.above(made))]

    @pytest.mark.parametrize("kind", ["rsa-2048", "ec-256", "ed25519"])
    def test_a_key_in_der_is_a_key(self, issue: Issue, kind: str) -> None:
        key = issue("a.test", key=kind).key
        encrypted = serialization.BestAvailableEncryption(b"x")
        for form, how in (("PKCS8", serialization.NoEncryption()), ("PKCS8", encrypted)):
            private = getattr(serialization.PrivateFormat, form)
            data = key.private_bytes(serialization.Encoding.DER, private, how)
            assert _keystore_forms.contents(data) == ("der", [], True, None)

    def test_a_keystore_where_pem_is_wanted_is_malformed(self, tmp_path: Path) -> None:
        (tmp_path / "x.pem").write_bytes(STORE)
        look = _material.Materials(_reading.Reader(30.0)).look(str(tmp_path / "x.pem"))
        assert look.problems == [("malformed", f"{tmp_path}/x.pem: it is a keystore, not PEM")]

    def test_what_may_sign_is_told_from_what_may_not(self, issue: Issue) -> None:
        authority = issue("ca.test", extensions=[x509.BasicConstraints(ca=True, path_length=None)])
        limited = issue("ca.test", extensions=[x509.BasicConstraints(ca=True, path_length=0)])
        leaf = issue("a.test", extensions=[x509.BasicConstraints(ca=False, path_length=None)])
        told = [
            _keystore_forms.is_authority(stores.der(one.certificate))
            for one in (authority, limited, leaf, GIVEN)
        ]
        assert told == [True, True, False, False]

    @pytest.mark.parametrize(
        "length", [b"\x80", b"\x84\xff\xff\xff\xff", b"\x85\x01\x01\x01\x01\x01", b"\xff", b"\x81", b""]
    )
    def test_lengths_that_lie_are_no_certificate(self, length: bytes) -> None:
        true = stores.der(GIVEN.certificate)
        for data in (b"\x30" + length, b"\x30" + length + true[4:], true[:4] + b"\x30" + length + true[8:]):
            assert _keystore_forms.contents(data).certificates == []
            assert _keystore_forms.pkcs7(data) is None


@settings(max_examples=300)
@given(st.data())
def test_no_damage_makes_the_reading_raise(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([STORE, stores.der(GIVEN.certificate), stores.bundle(GIVEN)]))
    made = bytearray(whole)
    for _turn in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(made) - 1))
        made[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        made = made or bytearray(b"\x30")
    _survives(bytes(made))


def test_thousands_of_damaged_keystores() -> None:
    chance = random.Random(20261122)  # noqa: S311 - damage, no secret
    for _turn in range(3000):
        made = bytearray(STORE)
        for _change in range(chance.randint(1, 5)):
            made[chance.randrange(4, len(made))] = chance.randrange(256)
        _survives(bytes(made))


def _survives(data: bytes) -> None:
    found = _keystore_forms.contents(data)
    certificates = list(found.certificates)
    if found.form == _keystore_forms.JKS:
        store = _keystore.read(data, found.form, Opening("changeit", "one", "here"))
        store.chosen("one")
        certificates += [der for entry in store.entries for der in entry.chain]
    for der in certificates:
        assert _keystore_forms.certificate(der) == der
        _keystore_forms.names(der)
