# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CAA records let whom issue (RFC 8659)."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import authoritative, caa, dns

OURS = ("ca.example", "Other-Name.example")
Records = dict[str, list[str]]


@pytest.fixture
def zones(monkeypatch: pytest.MonkeyPatch) -> Records:
    """What servers say: the records of a name; names that are not in it have no server that answers."""
    records: Records = {"example": [], "shop.example": [], "www.shop.example": [], "a.www.shop.example": []}

    def find(name: str, kind: int) -> authoritative.Found:
        if name not in records:
            raise authoritative.Unknown(name)
        said = [dns.Record(name, kind, value) for value in records[name]]
        return authoritative.Found(name, [], dns.Answer(0, True, False, said, [], []))

    monkeypatch.setattr(authoritative, "find", find)
    return records


def refused(*names: str, identities: tuple[str, ...] = OURS) -> str | None:
    """Why not, in a sentence."""
    failure = caa.refusal(names, identities, caa.Lookup())
    assert failure is None or failure.failure_class == "caa"
    return failure and failure.message


@pytest.mark.parametrize(
    ("records", "name", "allowed"),
    [
        ([], "www.shop.example", True),
        (["0 issue ca.example"], "www.shop.example", True),
        (["0 issue CA.example; accounturi=https://ca.example/1"], "www.shop.example", True),
        (["0 issue other.test"], "www.shop.example", False),
        (["0 issue other.test", "0 issue other-name.example"], "www.shop.example", True),
        (["0 issue ;"], "www.shop.example", False),
        (["0 iodef mailto:ops@shop.example"], "www.shop.example", True),
        (["0 issuewild other.test"], "www.shop.example", True),
        (["0 issuewild other.test"], "*.shop.example", False),
        (["0 issue other.test", "0 issuewild ca.example"], "*.shop.example", True),
        (["0 issue ca.example", "0 issuewild ;"], "*.shop.example", False),
        (["0 issue other.test"], "*.shop.example", False),
        (["0 unknown x"], "www.shop.example", True),
        (["128 unknown x"], "www.shop.example", False),
        (["128 issue ca.example"], "www.shop.example", True),
        (["no record"], "www.shop.example", True),
    ],
)
def test_who_may_issue(zones: Records, records: list[str], name: str, allowed: bool) -> None:
    zones["shop.example"] = records
    assert (refused(name) is None) is allowed


def test_the_closest_records_count_and_no_others(zones: Records) -> None:
    zones["shop.example"] = ["0 issue other.test"]
    zones["www.shop.example"] = ["0 issue ca.example"]
    assert refused("a.www.shop.example", "www.shop.example") is None
    told = refused("a.www.shop.example", "shop.example")
    assert told == (
        "shop.example: the CAA records of shop.example let issue other.test, and this CA is ca.example,"
        " Other-Name.example; add it there"
    )


def test_what_nobody_tells_the_ca_decides(zones: Records) -> None:
    zones["shop.example"] = ["0 issue other.test"]
    assert refused("new.shop.example") is None
    assert refused("www.shop.example", identities=()) is None
    zones["example"] = ["0 issue other.test"]
    assert refused("192.0.2.7") is None


def test_what_strangers_wrote_into_a_record_steers_no_terminal(zones: Records) -> None:
    zones["shop.example"] = ["0 issue \x1b[2Jevil.test"]
    told = refused("shop.example")
    assert told is not None
    assert "evil.test" in told
    assert told.isprintable()


def test_a_top_level_domain_is_not_asked(zones: Records) -> None:
    zones["example"] = ["0 issue other.test"]
    assert refused("www.shop.example") is None


def test_what_takes_too_long_the_ca_decides(zones: Records) -> None:
    zones["shop.example"] = ["0 issue other.test"]
    assert caa.refusal(["shop.example"], OURS, caa.Lookup(patience=-1)) is None


def test_a_record_is_read_as_it_travels() -> None:
    asked = b"\x12\x34" + bytes(10) + dns.encoded("a.example") + struct.pack(">HH", dns.CAA, 1)
    content = b"\x80\x05issueca.example; x=1"
    record = b"\xc0\x0c" + struct.pack(">HHIH", dns.CAA, 1, 60, len(content)) + content
    said = asked[:2] + struct.pack(">HHHHH", 0x8400, 1, 1, 0, 0) + asked[12:] + record
    assert dns.parsed(said, asked).values("a.example", dns.CAA) == ["128 issue ca.example; x=1"]
