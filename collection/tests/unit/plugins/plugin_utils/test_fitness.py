# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C6: what a CA sends does not count unless it is what was asked for, and the reason says what it is not."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import fitness
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import NOW, Made, issue

DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)


class Paper(t.NamedTuple):
    """A root and the intermediate below it."""

    root: Made
    middle: Made


@pytest.fixture(scope="module")
def paper() -> Paper:
    """A CA that needs no ACME."""
    root = issue(common_name="Root")
    return Paper(root, issue(common_name="Middle", by=root))


def told(
    made: Made,
    chain: str | None = None,
    root: str | None = None,
    bundle: str | None = None,
    **wish: t.Any,
) -> list[str]:
    """What speaks against it, as kinds, when it was asked for as a.test."""
    signed = {"pem": made.pem, "chain_pem": made.chain if chain is None else chain}
    arguments = {
        "names": ["a.test"],
        "csr": wish.get("csr", made.csr()),
        "minimum_validity": wish.get("least"),
    }
    return [one["kind"] for one in fitness.unfit(signed, arguments, root, bundle, NOW)]


def test_what_was_asked_for_is_fit(paper: Paper) -> None:
    made = issue("a.test", by=paper.middle)
    assert told(made) == []
    assert told(made, root=paper.root.pem, least=86400) == []
    assert told(made, chain=paper.middle.pem, root=paper.root.pem) == [], "a chain may leave the root out"


def test_another_key_other_names_and_both_are_told(paper: Paper) -> None:
    other = issue("a.test")
    assert told(issue("a.test", by=paper.middle), csr=other.csr()) == ["key_mismatch"]
    assert told(issue("b.test", by=paper.middle)) == ["names_not_covered"]
    assert told(issue("b.test", by=paper.middle), csr=other.csr()) == ["names_not_covered", "key_mismatch"]


@pytest.mark.parametrize(
    ("begins", "ends", "least", "kinds"),
    [
        (-2 * DAY, -DAY, None, ["expired"]),
        (2 * DAY, 30 * DAY, None, ["not_yet_valid"]),
        (5 * MINUTE, 30 * DAY, None, []),
        (-DAY, 20 * MINUTE, None, []),
        (-DAY, 20 * MINUTE, 86400, ["short_life"]),
        (-DAY, 2 * DAY, 86400, []),
    ],
)
def test_its_time_is_judged(
    paper: Paper, begins: datetime.timedelta, ends: datetime.timedelta, least: int | None, kinds: list[str]
) -> None:
    assert told(issue("a.test", by=paper.middle, begins=begins, ends=ends), least=least) == kinds


def test_a_chain_must_come_along_unless_the_signer_is_a_given_root(paper: Paper) -> None:
    made = issue("a.test", by=paper.root)
    assert told(made, chain="") == ["chain_incomplete"]
    assert told(made, chain="", root=paper.root.pem) == []
    assert told(made, chain="", bundle=paper.middle.pem + paper.root.pem) == [], "often it is the HTTPS root"
    assert told(made, chain="", bundle=paper.middle.pem) == ["chain_incomplete"]
    assert told(issue("a.test", by=paper.middle), chain="", root=paper.root.pem) == ["chain_incomplete"]


def test_a_chain_in_disorder_of_another_or_with_an_ended_issuer_is_told(paper: Paper) -> None:
    made = issue("a.test", by=paper.middle)
    assert told(made, chain=paper.root.pem + paper.middle.pem) == ["chain_incomplete"]
    assert told(made, chain=issue(common_name="Middle").pem) == ["chain_incomplete"]
    ended = issue(common_name="Ended", by=paper.root, begins=-9 * DAY, ends=-DAY)
    assert told(issue("a.test", by=ended)) == ["expired"]


def test_a_chain_to_another_root_than_the_given_one_is_told(paper: Paper) -> None:
    made = issue("a.test", by=paper.middle)
    assert told(made, root=issue(common_name="Root").pem) == ["chain_incomplete"]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_told(paper: Paper, text: str) -> None:
    signed = {"pem": text, "chain_pem": ""}
    arguments = {"names": ["a.test"], "csr": paper.root.csr(), "minimum_validity": 5}
    assert [one["kind"] for one in fitness.unfit(signed, arguments, None, None, NOW)] == ["malformed"]
