# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is to hold follows its kind, and its order and encoding what it holds now."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import content, der, errors, validity, veil
from ansible_collections.notafter.tls.tests.unit.plugins import stores
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made


def bundle(made: Made) -> dict[str, str]:
    """As it comes from whoever keeps it."""
    return {"certificate": made.pem, "chain": made.chain, "private_key": made.key_pem}


def test_pem_keeps_the_order_in_which_key_and_certificate_stand(
    issue: Issue, authority: Made, tmp_path: Path
) -> None:
    old, new, file = issue("a.test"), issue("a.test", by=authority), tmp_path / "both.pem"
    parts = {"leaf": new.pem, "chain": new.chain, "fullchain": new.fullchain, "key": new.key_pem}
    for kind, expected in parts.items():
        assert content.wanted(kind, bundle(new), str(file)).decode() == expected
    assert content.wanted("combined", bundle(new), str(file)).decode() == new.fullchain + new.key_pem
    file.write_text(old.key_pem + old.pem)
    assert content.wanted("combined", bundle(new), str(file)).decode() == new.key_pem + new.fullchain


def test_binary_files_stay_binary(issue: Issue, authority: Made, tmp_path: Path) -> None:
    new, file = issue("a.test", by=authority), tmp_path / "file"
    certificates = {stores.der(new.certificate), *map(stores.der, stores.above(new))}
    assert content.wanted("der", bundle(new), str(file)) == stores.der(new.certificate)
    bundled = content.wanted("pkcs7", bundle(new), str(file))
    assert {stores.der(one) for one in pkcs7.load_der_pkcs7_certificates(bundled)} == certificates
    file.write_bytes(stores.bundle(issue("old.test"), form="PEM"))
    armoured = content.wanted("pkcs7", bundle(new), str(file))
    assert {stores.der(one) for one in pkcs7.load_pem_pkcs7_certificates(armoured)} == certificates
    file.write_bytes(
        issue("old.test").key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key = serialization.load_der_private_key(content.wanted("key", bundle(new), str(file)), None)
    assert key.private_numbers() == new.key.private_numbers()  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", content.KINDS)
def test_what_is_neither_certificate_nor_key_is_never_written_over(issue: Issue, kind: str) -> None:
    content.require_ours("/etc/new", kind, b"")
    for foreign in (b"root:x:0:0\n", b"\x7fELF", b"\0" * 100):
        with pytest.raises(errors.Refused, match="holds neither certificate nor key"):
            content.require_ours("/etc/passwd", kind, foreign)
    keystore = stores.pfx(issue("a.test"), "changeit")
    if kind not in {"pkcs12", "jks"}:
        with pytest.raises(errors.Refused):
            content.require_ours("/etc/store.p12", kind, keystore)


def test_when_a_certificate_is_valid_is_read_out_of_it(issue: Issue) -> None:
    for begins, ends in ((-1, 90), (-20000, 1), (-1, 30000)):  # before 1970 and after 2049 as well
        days = (datetime.timedelta(days=begins), datetime.timedelta(days=ends))
        made = issue("a.test", begins=days[0], ends=days[1])
        begin, end = validity.of(stores.der(made.certificate))
        assert begin == made.certificate.not_valid_before_utc.timestamp()
        assert end == made.certificate.not_valid_after_utc.timestamp()
    assert validity.told(0) == "1970-01-01T00:00:00Z"
    with pytest.raises(errors.HostError):
        validity.of(b"no certificate")
    whole = stores.der(made.certificate)
    with pytest.raises(errors.HostError):
        validity.of(whole.replace(made.certificate.not_valid_after_utc.strftime("%Y%m").encode(), b"205899"))


@given(st.dictionaries(st.text(), st.text()), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_an_answer_under_a_veil_comes_back_and_shows_nothing(answer: dict[str, str], secret: str) -> None:
    veiled = veil.put_on(answer, secret)
    assert veil.take_off(veiled, secret) == answer
    assert not any(len(value) > 8 and value in repr(veiled) for value in answer.values())


@given(st.integers(min_value=0, max_value=2**70), st.binary(max_size=300))
def test_what_is_written_as_der_is_read_as_it_was(number: int, data: bytes) -> None:
    whole = der.encoded(der.SEQUENCE, der.integer(number), der.encoded(der.OCTETS, data))
    first, second = der.node(whole).children()
    assert (first.number(), second.content) == (number, data)
