"""Certificates that came from anywhere."""

import base64
import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.errors import UnreadableCertificate
from notafter.domain.x509 import read_leaf, split

from tests.authority import Authority, pem_of
from tests.factories import fingerprint

CA = Authority()
CA_PEM = pem_of(CA.intermediate)
PEM = CA.issue("shop.example", "*.shop.example").certificate


def test_a_certificate_is_read_with_all_we_keep_of_it() -> None:
    leaf = read_leaf("text before\n" + PEM + CA_PEM)
    assert leaf.names == ("shop.example", "*.shop.example")
    assert leaf.key_type == "ec-256"
    assert leaf.fingerprint == fingerprint(PEM)
    assert leaf.authority_key_id is not None
    assert leaf.not_before.tzinfo is not None
    assert read_leaf(CA.issue("a.example", key_type="rsa-2048").certificate).key_type == "rsa-2048"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, 2**32))
def test_mutated_certificates_are_read_or_refused_and_never_crash(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- a mutation that can be repeated
    der = bytearray(base64.b64decode("".join(PEM.splitlines()[1:-1])))
    for _ in range(chance.randint(1, 4)):
        der[chance.randrange(len(der))] = chance.randrange(256)
    text = base64.encodebytes(bytes(der)).decode()
    with contextlib.suppress(UnreadableCertificate):
        read_leaf(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----", "\0" * 2_000_000, "\ud800"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(UnreadableCertificate):
        read_leaf(text)


def test_a_chain_is_split_into_its_certificates() -> None:
    assert [fingerprint(pem) for pem in split(PEM + CA_PEM)] == [fingerprint(PEM), fingerprint(CA_PEM)]


def test_the_addresses_of_a_certificate_are_names_of_it_in_their_canonical_form() -> None:
    issued = Authority().issue("shop.example", "2001:db8:0::7", "192.0.2.7")
    assert read_leaf(issued.certificate).names == ("shop.example", "2001:db8::7", "192.0.2.7")
