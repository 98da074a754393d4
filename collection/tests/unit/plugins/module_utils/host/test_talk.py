# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on record of a talk with a CA."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import failure, talk

DIRECTORY = "https://ca.example.com/dir"


def entry(status: int | None, code: int = 0, url: str = "https://ca.example.com/order") -> talk.Entry:
    return talk.Entry("POST", code, status, None, url)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 0 ", 0), ("", None), ("soon", None), ("-5", None), ("9" * 40, 10**9)],
)
def test_a_retry_after_is_seconds_or_nothing(text: str, seconds: int | None) -> None:
    assert talk.seconds_of(text) == seconds


def test_a_retry_after_that_is_a_date_is_the_time_until_then() -> None:
    seconds = talk.seconds_of(formatdate(time.time() + 600, usegmt=True))
    assert seconds is not None
    assert 590 <= seconds <= 601
    assert talk.seconds_of(formatdate(0, usegmt=True)) == 0
    assert talk.seconds_of("Fri, 99 Foo 99999 99:99:99 GMT") is None


def test_a_failure_that_was_got_over_is_none() -> None:
    assert talk.Talk([entry(503), entry(200)]).last_failure() is None
    assert talk.Talk([entry(200), entry(503)]).last_failure() == entry(503)
    assert talk.Talk([entry(None, 56), entry(200, url="https://ca.example.com/other")]).last_failure()


@pytest.mark.parametrize("refusal", ["", "<html>", "[1]", "null", '{"type": 5}', "{" * 9999])
def test_what_is_no_problem_document_says_nothing(refusal: str) -> None:
    ended = failure.classify("", talk.Talk([entry(403)], refusal), DIRECTORY)
    assert (ended.failure_class, ended.type) == ("ca_unavailable", None)


def test_a_problem_names_the_one_name_that_it_is_about() -> None:
    refusal = (
        '{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no \\u001b[2J", '
        '"subproblems": [{"identifier": {"type": "dns", "value": "a.test"}}]}'
    )
    ended = failure.classify("", talk.Talk([entry(403)], refusal), DIRECTORY)
    assert (ended.failure_class, ended.identifier) == ("rejected_identifier", "a.test")
    assert "\x1b" not in ended.message


def test_c5_what_the_ca_says_of_a_proof_is_told_to_its_end() -> None:
    """acme.sh shows it up to the first quote."""
    error = {
        "type": "urn:ietf:params:acme:error:unauthorized",
        "detail": 'no TXT record "abc" at _acme-challenge.shop.example',
    }
    invalid = json.dumps({"status": "invalid", "challenges": [{"type": "dns-01", "error": error}]})
    text = "shop.example: Invalid status. Verification error details: no TXT record (\\\n"
    ended = failure.classify(text, talk.Talk([entry(200)], "", invalid), DIRECTORY)
    assert (ended.failure_class, ended.identifier) == ("challenge_failed", "shop.example")
    assert ended.type == "urn:ietf:params:acme:error:unauthorized"
    assert ended.message == 'shop.example: no TXT record "abc" at _acme-challenge.shop.example'


@pytest.mark.parametrize("invalid", ["", "[]", "{", '{"challenges": 1}', '{"challenges": [1, {"error": 2}]}'])
def test_where_the_ca_says_nothing_of_a_proof_acme_sh_is_believed(invalid: str) -> None:
    text = "shop.example: Invalid status. Verification error details: connection refused\n"
    ended = failure.classify(text, talk.Talk([entry(200)], "", invalid), DIRECTORY)
    assert ended.message == "shop.example: connection refused"
