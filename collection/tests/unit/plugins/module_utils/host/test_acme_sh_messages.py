# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acme.sh prints becomes a class, the CA's own words, and a time to wait."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import failure, talk

DIRECTORY = "https://ca.example.com/dir"
RATE_LIMITED = (
    "Create new order error. Le_OrderFinalize not found. "
    '{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued",'
    '"status":429}'
)


def classify(text: str, headers: str) -> failure.Failure:
    """What the last answer's headers and acme.sh's words come to, where acme.sh asks without curl."""
    entries = [talk.answered(headers)] if headers else []
    return failure.classify(text, talk.Talk(entries), DIRECTORY)


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
    assert classify(text, "HTTP/1.1 200\r\n").failure_class == expected


def test_the_cas_own_words_are_kept() -> None:
    ended = classify(RATE_LIMITED, "HTTP/1.1 429\r\nRetry-After: 3600\r\n")
    assert ended.message == "too many certificates (5) already issued"
    assert ended.type == "urn:ietf:params:acme:error:rateLimited"
    assert ended.retry_after == 3600


def test_a_failed_challenge_names_the_name() -> None:
    ended = classify("a.example.com: Invalid status. Verification error details: refused", "")
    assert ended.identifier == "a.example.com"
    assert "refused" in ended.message


def test_retry_after_may_be_a_date() -> None:
    headers = f"HTTP/1.1 429\r\nRetry-After: {formatdate(time.time() + 120, usegmt=True)}\r\n"
    retry_after = classify("too many", headers).retry_after
    assert retry_after is not None
    assert 110 <= retry_after <= 121


def test_an_untrusted_ca_is_told_with_its_remedy() -> None:
    ended = classify("error code: 60\nCannot init API for: x", "")
    assert "not trusted" in ended.message
    assert "bundle" in ended.message
