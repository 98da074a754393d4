"""The simulation in small, with other dice each time: what the policy promises holds, whatever goes wrong."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.simulate.figures import page, table
from tests.simulate.play import Play
from tests.simulate.scenarios import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulate.figures import Figures


def played(name: str, certificates: int) -> Figures:
    """A scenario in small; its figures and its seed are shown when something fails."""
    seed = secrets.token_hex(4)
    figures = Play(SCENARIOS[name].small(certificates), seed).run()
    print(f'make simulate S="{name} --certificates {certificates} --seed {seed}"\n{table(figures)}')
    return figures


def test_a_year_with_two_outages_and_shrinking_lives_expires_nothing_and_has_no_peaks() -> None:
    figures = played("year", 1000)
    assert figures.failed["ca_unavailable"] > 0
    assert figures.failed["dns_provider"] > 0
    assert figures.expired == 0
    assert figures.refused == 0
    assert figures.peak / figures.mean <= 3
    assert figures.wrong() == []


def test_c9_after_a_revocation_of_all_each_is_replaced_within_a_day_at_the_stated_capacity() -> None:
    figures = played("revocation", 1000)
    assert len(figures.revocation) + len(figures.revocation_by_own_fault) == 1000
    assert max(figures.revocation) <= 24
    assert figures.wrong() == []


def test_a_fleet_that_is_new_to_the_ca_goes_through_its_limits_without_touching_one() -> None:
    figures = played("crowded", 250)
    assert figures.left["over_budget"] > 0
    assert figures.authorities["first"].exempt > 0
    assert figures.refused == 0
    assert figures.wrong() == []


def test_c8_with_a_second_ca_an_outage_of_half_a_short_life_expires_nothing() -> None:
    figures = played("short", 500)
    assert figures.authorities["second"].asked > 0
    assert figures.expired == 0
    assert figures.wrong() == []


def test_without_it_some_expire_and_the_simulation_sees_it() -> None:
    assert played("short-alone", 1000).expired > 0


def test_the_same_seed_brings_the_same_year_back() -> None:
    first, second = (Play(SCENARIOS["year"].small(50), "7").run() for _ in range(2))
    assert first.rows() == second.rows()


def test_the_page_has_a_plot_and_the_figures(tmp_path: Path) -> None:
    figures = Play(SCENARIOS["revocation"].small(100), "7").run()
    page([figures], "7", tmp_path / "out" / "page.html")
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert text.count("<polyline") == 1
    assert "orders an hour, peak" in text
    assert "seed 7" in text


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_played(name: str) -> None:
    figures = Play(SCENARIOS[name].small(50), "7").run()
    assert figures.issued > 0
