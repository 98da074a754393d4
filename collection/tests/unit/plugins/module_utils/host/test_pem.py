# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM on a host: split and fingerprinted, and never slow because of what a file holds."""

from __future__ import annotations

import base64
import hashlib

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import pem
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Refused

DER = b"0\x82 not a certificate, but bytes that stand for one" * 4


def block(der: bytes = DER, width: int = 64) -> str:
    """A PEM certificate with lines of any width."""
    body = base64.b64encode(der).decode()
    lines = [body[start : start + width] for start in range(0, len(body), width)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def test_the_fingerprint_is_that_of_the_der_however_the_lines_are_broken() -> None:
    for width in (64, 76, 1000):
        assert pem.fingerprint(block(width=width)) == hashlib.sha256(DER).hexdigest()


def test_text_around_keys_between_and_a_beginning_without_an_end_do_not_confuse() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    text = "Subject: x\n" + block() + key + "-----BEGIN CERTIFICATE-----\n" + block(DER[::-1])
    assert [pem.der(one) for one in pem.certificates(text)] == [DER, DER[::-1]]


def test_megabytes_of_blanks_and_beginnings_are_read_in_a_moment() -> None:
    hostile = "-----BEGIN CERTIFICATE-----" + " " * 4_000_000 + "-----BEGIN CERTIFICATE-----\n" * 50_000
    assert pem.certificates(hostile + block()) == [block()]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----", "x", block().replace("M", "\u00e9")])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        pem.der(text)
