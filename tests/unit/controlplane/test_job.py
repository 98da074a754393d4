"""Jobs and items move as their tables say."""

import pytest
from notafter.domain.errors import IllegalMove
from notafter.domain.job import (
    ITEM_TRANSITIONS,
    JOB_TRANSITIONS,
    OPEN_ITEM_STATES,
    OPEN_JOB_STATES,
    UNDONE_ITEM_STATES,
    ItemState,
    JobState,
    end_of,
    move_item,
    move_job,
)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("to", JobState)
def test_a_job_moves_only_along_its_table(state: JobState, to: JobState) -> None:
    if to in JOB_TRANSITIONS[state]:
        assert move_job(state, to) is to
    else:
        with pytest.raises(IllegalMove):
            move_job(state, to)


def test_every_state_has_a_row_and_what_has_ended_stays_so() -> None:
    assert set(JOB_TRANSITIONS) == set(JobState)
    assert set(ITEM_TRANSITIONS) == set(ItemState)
    assert {state for state, moves in JOB_TRANSITIONS.items() if moves} == OPEN_JOB_STATES
    assert {state for state, moves in ITEM_TRANSITIONS.items() if moves} == OPEN_ITEM_STATES
    with pytest.raises(IllegalMove):
        move_item(ItemState.SUCCEEDED, ItemState.FAILED)


@pytest.mark.parametrize(
    ("items", "end"),
    [
        ([ItemState.SUCCEEDED, ItemState.SUCCEEDED], JobState.SUCCEEDED),
        ([ItemState.SUCCEEDED, ItemState.FAILED], JobState.FAILED),
        ([ItemState.SUCCEEDED, ItemState.SKIPPED], JobState.FAILED),
        ([ItemState.SUCCEEDED, ItemState.CANCELLED], JobState.CANCELLED),
        ([], JobState.FAILED),
    ],
)
def test_a_job_ends_as_its_items_did(items: list[ItemState], end: JobState) -> None:
    assert end_of(items) is end


def test_an_item_waits_or_runs_or_is_done_or_is_not() -> None:
    assert {ItemState.SUCCEEDED} == set(ItemState) - OPEN_ITEM_STATES - UNDONE_ITEM_STATES
    assert not OPEN_ITEM_STATES & UNDONE_ITEM_STATES
