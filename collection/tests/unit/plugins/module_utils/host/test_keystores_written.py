# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystores that are written: others read them, and what was in them beside the entry stays as it was."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import (
    errors,
    java_keystore,
    keystores,
    openssl,
    pkcs12,
)
from ansible_collections.notafter.tls.tests.unit.plugins import scanning, stores
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12 as reference

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made

Opening = keystores.Opening
PASSWORD = "changeit"
TRUSTED = scanning.issue("trusted.test")


def key_of(made: Made) -> bytes:
    """A private key as PKCS#8."""
    return made.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def material(made: Made) -> keystores.Material:
    """What an entry is to have."""
    return keystores.Material(
        [stores.der(made.certificate), *map(stores.der, stores.above(made))], key_of(made)
    )


def shown(data: bytes, opening: Opening) -> list[bytes]:
    """What a server shows of a keystore."""
    return keystores.chain(data, opening)


@pytest.mark.parametrize("password", [PASSWORD, "pa ss\t\"'$&", "pässwörd", "x" * 60, ""])
def test_another_library_reads_the_pkcs12_that_is_written(
    issue: Issue, authority: Made, password: str
) -> None:
    old, new = issue("old.test", by=authority), issue("new.test", by=authority)
    for before in (None, stores.pfx(old, password or None, "Shop")) if password else (None,):
        data = keystores.with_entry(before, "pkcs12", Opening(password, "shop"), material(new))
        key, certificate, above = reference.load_key_and_certificates(data, password.encode())
        assert key is not None
        assert key.private_numbers() == new.key.private_numbers()  # type: ignore[union-attr]
        assert certificate == new.certificate
        assert above == stores.above(new)


def test_what_is_there_already_is_not_written_anew(issue: Issue, authority: Made) -> None:
    """A keystore is encrypted otherwise each time; so a deploy would never come to rest."""
    new = material(issue("new.test", by=authority))
    for kind in keystores.KINDS:
        once = keystores.with_entry(None, kind, Opening(PASSWORD, "shop"), new)
        assert keystores.with_entry(once, kind, Opening(PASSWORD, "SHOP"), new) is once
        assert keystores.with_entry(once, kind, Opening(PASSWORD, None), new) is once
        assert keystores.with_entry(once, kind, Opening(PASSWORD, "shop", "", "other"), new) != once


def test_entries_of_a_pkcs12_beside_the_one_stay_and_their_keys_are_carried_over(
    issue: Issue, authority: Made
) -> None:
    one, two, new = (issue(f"{name}.test", by=authority) for name in ("one", "two", "new"))
    data = keystores.with_entry(None, "pkcs12", Opening(PASSWORD, "one"), material(one))
    data = keystores.with_entry(data, "pkcs12", Opening(PASSWORD, "two", "", "a key's own"), material(two))
    store = pkcs12.read(data, PASSWORD)
    other = next(bag for alias, bag in store.private_keys() if alias == "two")
    changed = keystores.with_entry(data, "pkcs12", Opening(PASSWORD, "one"), material(new))
    assert other.whole in changed
    assert pkcs12.key_of(other, "a key's own") is not None
    assert pkcs12.key_of(other, PASSWORD) is None
    assert shown(changed, Opening(PASSWORD, "two")) == material(two).chain
    assert shown(changed, Opening(PASSWORD, "one")) == material(new).chain
    assert stores.der(one.certificate) not in changed


def test_an_issuer_that_nobody_needs_any_more_goes_with_its_certificate(issue: Issue) -> None:
    """Java takes the first issuer of a name: an old one of the same name would break the new chain."""
    before, after = (scanning.issue(common_name="An Issuer") for _turn in range(2))
    old, new = (_below(one, issue("shop.test", by=one)) for one in (before, after))
    data = keystores.with_entry(stores.pfx(old, PASSWORD), "pkcs12", Opening(PASSWORD, "it"), material(new))
    assert stores.der(before.certificate) not in data
    assert shown(data, Opening(PASSWORD, "it")) == material(new).chain


def _below(issuer: Made, made: Made) -> Made:
    """A certificate with its issuer as the chain."""
    return scanning.Made(made.certificate, made.key, issuer.pem)


def test_whatever_is_damaged_ends_in_a_refusal_and_nothing_else(issue: Issue, authority: Made) -> None:
    made = issue("a.test", by=authority)
    new = material(made)
    for data in (stores.pfx(made, PASSWORD), stores.jks(stores.key_entry("a", made))):
        refused = 0
        for place in range(0, len(data), max(1, len(data) // 60)):
            damaged = data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :]
            try:
                keystores.with_entry(damaged, "pkcs12", Opening(PASSWORD), new)
            except errors.HostError:
                refused += 1
        assert refused > 50


@pytest.mark.parametrize("magic", [stores.JKS, stores.JCEKS])
def test_entries_of_a_jks_beside_the_one_stay_byte_for_byte(
    issue: Issue, authority: Made, magic: int
) -> None:
    made, new = issue("a.test", by=authority), issue("new.test", by=authority)
    first, last = stores.key_entry("first", made), stores.key_entry("last", made, b"\x30\x03another")
    middle, trusted = stores.key_entry("Shop", made), stores.trusted_entry("ca", TRUSTED)
    data = stores.jks(first, middle, trusted, last, magic=magic)
    opening = Opening(PASSWORD, "shop", "", "the key's own")
    written = keystores.with_entry(data, "jks", opening, material(new))
    assert all(entry in written for entry in (first, trusted, last))
    assert middle not in written
    assert shown(written, opening) == material(new).chain
    (piece,) = [one for one in java_keystore.pieces(written) if one.entry.alias == "Shop"]
    assert java_keystore.key_of(written, piece, "the key's own") == key_of(new)
    assert java_keystore.key_of(written, piece, PASSWORD) is None
    added = keystores.with_entry(data, "jks", Opening(PASSWORD, "New"), material(new))
    assert all(entry in added for entry in (first, middle, trusted, last))
    assert shown(added, Opening(PASSWORD, "new")) == material(new).chain


def test_what_does_not_open_or_is_not_understood_is_refused(issue: Issue, authority: Made) -> None:
    made = issue("a.test", by=authority)
    pfx, jks = stores.pfx(made, PASSWORD), stores.jks(stores.key_entry("a", made))

    def refusal(data: bytes, opening: Opening) -> str:
        with pytest.raises(errors.HostError) as caught:
            keystores.with_entry(data, "pkcs12", opening, material(made))
        assert "wr0ng" not in caught.value.message
        return caught.value.kind

    assert refusal(pfx, Opening("wr0ng")) == "wrong_password"
    assert refusal(jks, Opening("wr0ng")) == "wrong_password"
    assert refusal(made.pem.encode(), Opening(PASSWORD)) == "not_ours_to_write"
    assert refusal(pfx, Opening("two\nlines")) == "no_password"
    assert refusal(jks[:-30] + jks[-20:], Opening(PASSWORD)) in {"wrong_password", "keystore_not_understood"}
    for end in range(20, len(pfx), 37):
        assert refusal(pfx[:end], Opening(PASSWORD)) in {"malformed", "wrong_password", "not_ours_to_write"}


def test_without_a_password_anywhere_it_says_where_one_can_be_named(tmp_path: t.Any) -> None:
    with pytest.raises(errors.Refused, match="`password_file`"):
        keystores.opening({"path": "/a.p12"}, [])
    file = tmp_path / "password"
    file.write_text("s3cret\nand more\n")
    found = keystores.opening({"path": "/a.p12", "password_file": str(file), "alias": "b"}, [Opening("no")])
    assert (found.password, found.alias) == ("s3cret", "b")
    file.write_text("")
    with pytest.raises(errors.Refused, match="missing or empty"):
        keystores.opening({"path": "/a.p12", "password_file": str(file)}, [])


def test_the_opening_is_that_of_the_alias() -> None:
    known = [Opening("first", "a", "1"), Opening("second", "b", "2", "key"), Opening(None, "c", "3")]
    assert keystores.opening({"path": "/a.p12", "alias": "B"}, known) == Opening("second", "B", "2", "key")
    assert keystores.opening({"path": "/a.p12"}, known).alias == "a"
    assert keystores.opening({"path": "/a.p12", "alias": "c"}, known).password == "first"


def test_a_key_in_any_form_becomes_pkcs8(issue: Issue) -> None:
    made = issue("a.test")
    old = made.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    assert openssl.key_der(old) == key_of(made)
    with pytest.raises(errors.HostError, match="cannot read the private key"):
        openssl.key_der(b"no key")
