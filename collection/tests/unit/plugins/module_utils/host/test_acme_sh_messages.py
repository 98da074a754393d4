# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acme.sh prints becomes a class, the CA's own words, and a time to wait."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import acme_sh

DIRECTORY = "https://ca.example.com/dir"
RATE_LIMITED = (
    "Create new order error. Le_OrderFinalize not found. "
    '{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued",'
    '"status":429}'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RATE_LIMITED, "rate_limited"),
        (
            "shop.example.com: Invalid status. Verification error details: No TXT record found",
            "challenge_failed",
        ),
        ("shop.example.com: Invalid status. Verification error details: CAA record for x prevents", "caa"),
        ('{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no"}', "rejected_identifier"),
        ('{"type":"urn:ietf:params:acme:error:externalAccountRequired","detail":"EAB"}', "account"),
        ('{"type":"urn:ietf:params:acme:error:serverInternal","detail":"oops"}', "ca_unavailable"),
        ('{"type":"urn:ietf:params:acme:error:invalidProfile","detail":"unknown"}', "invalid_request"),
        (
            "You must specify a TSIG key.\nError adding TXT record to domain: _acme-challenge.x",
            "dns_provider",
        ),
        ("error code: 7\nCannot init API for: https://ca.example.com/dir.", "ca_unavailable"),
        ("something never seen", "internal"),
    ],
)
def test_every_kind_of_failure_has_its_class(text: str, expected: str) -> None:
    assert acme_sh.classify(text, "HTTP/1.1 400\r\n", DIRECTORY).failure_class == expected


def test_the_cas_own_words_are_kept() -> None:
    failure = acme_sh.classify(RATE_LIMITED, "HTTP/1.1 429\r\nRetry-After: 3600\r\n", DIRECTORY)
    assert failure.message == "too many certificates (5) already issued"
    assert failure.type == "urn:ietf:params:acme:error:rateLimited"
    assert failure.retry_after == 3600


def test_a_failed_challenge_names_the_name() -> None:
    failure = acme_sh.classify(
        "a.example.com: Invalid status. Verification error details: refused", "", DIRECTORY
    )
    assert failure.identifier == "a.example.com"
    assert "refused" in failure.message


def test_retry_after_may_be_a_date() -> None:
    headers = f"HTTP/1.1 429\r\nRetry-After: {formatdate(time.time() + 120, usegmt=True)}\r\n"
    retry_after = acme_sh.classify("too many", headers, DIRECTORY).retry_after
    assert retry_after is not None
    assert 110 <= retry_after <= 121


def test_an_untrusted_ca_is_told_with_its_remedy() -> None:
    failure = acme_sh.classify("error code: 60\nCannot init API for: x", "", DIRECTORY)
    assert "not trusted" in failure.message
    assert "bundle" in failure.message
