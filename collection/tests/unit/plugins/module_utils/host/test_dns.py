"""What DNS servers say: read as far as it is an answer to the question, whatever else arrives."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import dns, propagation, txt_records
from hypothesis import given
from hypothesis import strategies as st

NAME = "_acme-challenge.shop.example"


def query(name: str = NAME, kind: int = dns.TXT) -> bytes:
    """A question as it travels."""
    return (
        b"\x12\x34" + struct.pack(">HHHHH", 0, 1, 0, 0, 0) + dns.encoded(name) + struct.pack(">HH", kind, 1)
    )


def record(owner: bytes, kind: int, content: bytes) -> bytes:
    """One record as it travels."""
    return owner + struct.pack(">HHIH", kind, 1, 60, len(content)) + content


def reply(asked: bytes, *answers: bytes, flags: int = 0x8400, authority: tuple[bytes, ...] = ()) -> bytes:
    """An answer to a question."""
    counts = struct.pack(">HHHHH", flags, 1, len(answers), len(authority), 0)
    return asked[:2] + counts + asked[12:] + b"".join([*answers, *authority])


SAME_NAME = b"\xc0\x0c"


def test_a_long_text_is_put_together() -> None:
    asked = query()
    answer = dns.parsed(reply(asked, record(SAME_NAME, dns.TXT, b"\x03abc\x02de")), asked)
    assert answer.authoritative
    assert answer.values(NAME, dns.TXT) == ["abcde"]


def test_names_are_compared_without_case_and_pointers_are_followed() -> None:
    asked = query("Shop.Example", dns.CNAME)
    answer = dns.parsed(reply(asked, record(SAME_NAME, dns.CNAME, b"\x03WWW\xc0\x0c")), asked)
    assert answer.values("shop.example", dns.CNAME) == ["www.shop.example"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "malformed"),
        (query(), "no answer to the question"),
        (b"\x99\x99" + reply(query())[2:], "no answer to the question"),
        (b"\x12\x34" + reply(query("other.example"))[2:], "another question"),
        (reply(query(), record(b"\xc0\xff", dns.TXT, b"")), "malformed"),
        (reply(query(), record(b"\xc0" + bytes([len(query())]), dns.TXT, b"")), "malformed"),
        (reply(query(), record(SAME_NAME, dns.TXT, b"abc")[:-2]), "malformed"),
    ],
)
def test_d3_what_is_no_answer_is_told_as_such(answer: bytes, told: str) -> None:
    with pytest.raises(dns.NoAnswer, match=told):
        dns.parsed(answer, query())


@given(st.binary(max_size=200), st.integers(0, 200))
def test_d3_whatever_a_server_says_is_an_answer_or_none(noise: bytes, place: int) -> None:
    asked = query()
    good = reply(
        asked, record(SAME_NAME, dns.TXT, b"\x03abc"), record(SAME_NAME, dns.CNAME, b"\x01a\xc0\x0c")
    )
    for said in (
        noise,
        asked[:2] + noise,
        reply(asked, noise),
        good[:place] + noise + good[place + len(noise) :],
    ):
        try:
            answer = dns.parsed(said, asked)
        except dns.NoAnswer:
            continue
        assert isinstance(answer, dns.Answer)


def test_a_part_that_is_too_long_is_no_name() -> None:
    with pytest.raises(dns.NoAnswer, match="63"):
        dns.encoded("a" * 64 + ".example")


def test_d3_an_alias_that_is_no_name_is_not_asked_for() -> None:
    """A server may say any bytes; they end no attempt."""
    with pytest.raises(dns.NoAnswer, match="no DNS name"):
        dns.ask("192.0.2.1", "\xff.example", dns.TXT)


def test_records_that_were_taken_away_are_not_left() -> None:
    said = (
        b"Adding TXT value: one for domain: _acme-challenge.a.example\n"
        b"The TXT record has been successfully added.\n"
        b"Adding TXT value: two for domain: _acme-challenge.a.example\n"
        b"Removing DNS records.\n"
        b"Removing txt: one for domain: _acme-challenge.a.example\nRecord removed\nSuccessfully removed\n"
        b"Removing txt: two for domain: _acme-challenge.a.example\n"
        b"Error removing txt for domain: _acme-challenge.a.example\n"
    )
    assert txt_records.left(said) == [("_acme-challenge.a.example", "two")]
    assert txt_records.left(said[: said.index(b"Removing")]) == txt_records.added(said)


@pytest.mark.parametrize(("timeout", "seconds"), [(600, 120), (60, 30), (1, 1)])
def test_records_have_no_more_than_half_of_an_attempt(timeout: float, seconds: int) -> None:
    assert propagation.longest(timeout) == seconds
