"""Rules about people: names, passwords, what a token may, how long who guesses waits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.errors import InvalidInput, InvalidName
from notafter.domain.user import (
    RIGHTS,
    Guessing,
    Right,
    Role,
    blocked_until,
    check_password,
    scopes,
    token_name,
    user_name,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "name"), [("alice", "alice"), (" Alice ", "alice"), ("a.b+c@example.org", "a.b+c@example.org")]
)
def test_names_are_compared_in_small_letters(text: str, name: str) -> None:
    assert user_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "-x", "a b", "a/b", "\x1b[1m", "a\nb", "é", "a" * 65, "=cmd()", "a'b"]
)
def test_what_is_no_user_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match="is no user name"):
        user_name(text)
    with pytest.raises(InvalidName, match="is no name of a token"):
        token_name(text)


def test_each_role_may_what_the_one_below_it_may() -> None:
    assert RIGHTS[Role.VIEWER] < RIGHTS[Role.OPERATOR] < RIGHTS[Role.ADMIN] == frozenset(Right)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "vulcan-ember-quill-97-otter",
        "Ünïcödé wörds are fine too",
        "🦊" * 5 + "fox in a box 42",
    ],
)
def test_passwords_that_nobody_guesses_are_taken(password: str) -> None:
    check_password(password, "alice")


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("Tr0ub4dor&3", "too short"),
        ("passwordpassword", "could be guessed"),
        ("qwertyuiopasdfghjkl", "could be guessed"),
        ("alice.notafter1", "could be guessed"),
        ("abcabcabcabcabcabc", "could be guessed"),
        ("x" * 1000, "too long"),
    ],
)
def test_a_refused_password_comes_with_the_reason_and_is_not_repeated(password: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        check_password(password, "alice")
    assert password not in str(refused.value)


@given(st.sets(st.sampled_from(Right)), st.sets(st.sampled_from(Right)))
def test_nobody_gives_away_what_they_do_not_have(wanted: set[Right], held: set[Right]) -> None:
    if wanted and wanted <= held:
        assert set(scopes(wanted, frozenset(held))) == wanted
    else:
        with pytest.raises(InvalidInput, match=r"give away|without any right"):
            scopes(wanted, frozenset(held))


@given(st.sampled_from(Guessing), st.integers(1, 10**6))
def test_more_wrong_passwords_never_make_the_wait_shorter_and_it_has_an_end(
    kind: Guessing, failures: int
) -> None:
    until, later = blocked_until(kind, failures, NOW), blocked_until(kind, failures + 1, NOW)
    assert NOW <= until <= later <= NOW + timedelta(hours=1)


def test_a_slip_of_the_fingers_costs_nothing() -> None:
    assert blocked_until(Guessing.ACCOUNT, 4, NOW) == NOW
    assert blocked_until(Guessing.ACCOUNT, 5, NOW) == NOW + timedelta(seconds=15)
    assert blocked_until(Guessing.ADDRESS, 19, NOW) == NOW
