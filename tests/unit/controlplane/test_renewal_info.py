"""Renewal information as RFC 9773 has it, against a server that answers well and badly."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from notafter.ca import directory, renewal_info
from notafter.domain.errors import CaUnreachable, NotADirectory

from tests.answering_ca import DIRECTORY, HERE, Ca, https
from tests.factories import NOW

GOOD = {
    "suggestedWindow": {"start": "2026-12-01T00:00:00Z", "end": "2026-12-03T00:00:00Z"},
    "explanationURL": "https://ca.example/why",
}


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Ca]:
    with https(tmp_path) as made:
        yield made


def asked(ca: Ca, failures: int = 0) -> renewal_info.RenewalInfo:
    return renewal_info.ask(ca.url, ca.root, HERE, "a.b", NOW, failures)


def test_a_certificate_is_named_as_in_the_example_of_rfc_9773() -> None:
    name = renewal_info.certificate_id("69885b6b87464041e1b37b847bd0ae2cde01c8d4", "8765" + "4321")
    assert name == "aYhba4dGQEHhs3uEe9CuLN4ByNQ.AIdlQyE"


def test_a_window_is_read_with_its_explanation_and_the_time_to_ask_again(ca: Ca) -> None:
    ca.says(GOOD, Retry_After="21600")
    info = asked(ca)
    assert info.window is not None
    assert info.window.end - info.window.start == timedelta(days=2)
    assert info.explanation_url == "https://ca.example/why"
    assert info.next_poll_at == NOW + timedelta(hours=6)


@pytest.mark.parametrize(
    ("retry_after", "minutes"),
    [
        ("0", 1),
        ("59", 1),
        ("3600", 60),
        ("999999999999999999999", 360),
        ("604800", 1440),
        ("Sun, 22 Nov 2026 14:00:00 GMT", 120),
        ("soon", 360),
    ],
)
def test_the_time_to_ask_again_is_obeyed_within_reason(ca: Ca, retry_after: str, minutes: int) -> None:
    ca.says(GOOD, Retry_After=retry_after)
    assert asked(ca).next_poll_at == NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        [],
        {"suggestedWindow": 7},
        {"suggestedWindow": {"start": "2026-12-03T00:00:00Z", "end": "2026-12-01T00:00:00Z"}},
        {"suggestedWindow": {"start": "2026-12-01T00:00:00", "end": "2026-12-03T00:00:00"}},
        {"suggestedWindow": {"start": "0001-01-01T00:00:00+14:00", "end": "2026-12-03T00:00:00Z"}},
    ],
)
def test_nonsense_counts_as_no_window_and_is_asked_again_in_six_hours(ca: Ca, body: object) -> None:
    ca.says(body)
    info = asked(ca)
    assert info.window is None
    assert info.next_poll_at == NOW + timedelta(hours=6)


def test_a_ca_in_trouble_is_asked_again_later_each_time(ca: Ca) -> None:
    ca.says({}, 503)
    waits = [asked(ca, failures).next_poll_at - NOW for failures in range(10)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=5)
    assert waits[-1] == timedelta(hours=6)


def test_an_answer_without_end_is_cut(ca: Ca) -> None:
    ca.says(b"x" * 2_000_000)
    assert asked(ca).failed


def test_a_ca_whose_roots_are_not_given_is_not_trusted(ca: Ca) -> None:
    ca.says(DIRECTORY)
    with pytest.raises(CaUnreachable, match="does not answer"):
        directory.read(ca.url, None, HERE)


def test_a_directory_is_read(ca: Ca) -> None:
    ca.says({**DIRECTORY, "renewalInfo": ca.url, "meta": {"profiles": {"short": "6 days"}}})
    found = directory.read(ca.url, ca.root, HERE)
    assert (found.renewal_info, found.profiles) == (ca.url, ("short",))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [({}, 200, "lacks newNonce"), (b"hello", 200, "answers 200"), (DIRECTORY, 404, "answers 404")],
)
def test_an_address_that_is_no_directory_says_why(ca: Ca, body: object, status: int, told: str) -> None:
    ca.says(body, status)
    with pytest.raises(NotADirectory, match=told):
        directory.read(ca.url, ca.root, HERE)


def test_redirects_are_not_followed(ca: Ca) -> None:
    ca.says({}, 302, Location="https://127.0.0.1:1/dir")
    with pytest.raises(NotADirectory, match="answers 302"):
        directory.read(ca.url, ca.root, HERE)


def test_plain_http_and_a_dead_port_are_refused_by_name() -> None:
    with pytest.raises(NotADirectory, match="not an https address"):
        directory.read("http://127.0.0.1/dir", None, HERE)
    with pytest.raises(CaUnreachable, match=r"127\.0\.0\.1:1/dir"):
        directory.read("https://127.0.0.1:1/dir", None, HERE)
