# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CSR that a CA would refuse to finish, or that asks for too much, costs no order."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import csr, fitness
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import issue
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ["shop.example.com", "*.shop.example.com", "192.0.2.7", "2001:db8::1"]


def requested(names: list[str], *more: x509.ExtensionType) -> str:
    """A CSR for these names."""
    stated: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[-1].isdigit() else x509.DNSName(name)
        for name in names
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if stated:
        builder = builder.add_extension(x509.SubjectAlternativeName(stated), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_for_the_names_is_right_in_any_order_and_case() -> None:
    assert csr.unfit(requested([*NAMES[::-1][:-1], "SHOP.example.com"]), NAMES) is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (NAMES[:2], "does not ask for 192.0.2.7, 2001:db8::1"),
        ([*NAMES, "other.example.com"], "asks for other.example.com as well"),
        ([], "does not ask for shop.example.com"),
    ],
)
def test_a_request_for_other_names_is_refused(asked: list[str], told: str) -> None:
    assert told in str(csr.unfit(requested(asked), NAMES))


def test_a_request_for_must_staple_is_refused() -> None:
    staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    assert "must-staple" in str(csr.unfit(requested(NAMES, staple), NAMES))
    other = x509.TLSFeature([x509.TLSFeatureType.status_request_v2])
    assert csr.unfit(requested(NAMES, other), NAMES) is None


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE REQUEST-----\nMII=\n"])
def test_what_is_no_request_is_refused(text: str) -> None:
    assert "cannot be read" in str(csr.unfit(text, NAMES))


def test_a_chain_that_does_not_lead_where_it_was_wished_is_told() -> None:
    signed = {"pem": issue("a.example").pem, "chain_pem": ""}
    issuer = x509.load_pem_x509_certificate(signed["pem"].encode()).issuer.rfc4514_string()
    assert fitness.other_chain(signed, None) is None
    assert fitness.other_chain(signed, issuer.partition("=")[2].upper()) is None
    assert issuer in str(fitness.other_chain(signed, "Some Other Root"))
