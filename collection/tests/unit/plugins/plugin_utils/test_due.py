# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run by hand renews."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import due

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc)  # noqa: UP017 - Python 3.10 too
WISH: dict[str, t.Any] = {"names": ["a.example.com"], "key_type": "ec-256", "renew_before": None}


def held(days_old: float, days_left: float, **changes: t.Any) -> dict[str, t.Any]:
    """A certificate that the issuer keeps."""

    def at(days: float) -> str:
        return (NOW + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

    facts = {"names": ["a.example.com"], "key_type": "ec-256", "error": None}
    return {**facts, "not_before": at(-days_old), "not_after": at(days_left), **changes}


def test_there_is_none_yet() -> None:
    assert due.why_due(None, WISH, NOW) == "there is none yet"


@pytest.mark.parametrize(
    ("old", "left", "is_due"), [(59, 31, False), (61, 29, True), (2.9, 3.1, False), (3.1, 2.9, True)]
)
def test_a_third_of_the_life_or_the_half_of_a_short_one(old: float, left: float, is_due: bool) -> None:
    assert (due.why_due(held(old, left), WISH, NOW) is not None) is is_due


def test_a_wish_overrides_the_threshold() -> None:
    assert due.why_due(held(60, 29), {**WISH, "renew_before": 30 * 86400}, NOW) is not None


def test_a_wish_longer_than_the_life_does_not_renew_in_each_run() -> None:
    month = {**WISH, "renew_before": 30 * 86400}
    assert due.why_due(held(0, 6), month, NOW) is None
    assert due.why_due(held(1.9, 4.1), month, NOW) is None
    assert due.why_due(held(2.1, 3.9), month, NOW) is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ["b.example.com"]}, "names"),
        ({"key_type": "rsa-2048"}, "key type"),
        ({"error": "no ASN.1"}, "cannot be read"),
    ],
)
def test_a_certificate_that_is_not_what_is_wanted_is_due(changes: dict[str, t.Any], words: str) -> None:
    assert words in (due.why_due(held(1, 89, **changes), WISH, NOW) or "")
