"""A few random histories of a small fleet; `make torture T=--stateful` plays many more."""

from __future__ import annotations

from tests.stateful.histories import play

#: The same histories each time; torture draws others.
SEED, HISTORIES = 4, 8


def test_all_comes_right_when_nothing_fails_any_more_and_until_then_nothing_is_lost() -> None:
    play(SEED, HISTORIES)
