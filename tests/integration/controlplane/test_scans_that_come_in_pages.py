"""A scan in pages counts as one whole scan, in whatever order its pages come, and only when all have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from notafter.domain.job import ItemState
from notafter.domain.outcome import MOST_PAGES, HostFailed, Outcome
from notafter.domain.reason import ReasonCode
from notafter.lifecycle import request
from notafter.lifecycle.record import scan
from notafter.runner import events, results
from notafter.store import certificates, jobs, servers

from tests.factories import binding, scan_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.controlplane.stage import Stage

SCAN = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
Found = tuple[str | None, dict[str, object]]


def page(number: int, of: int, *found: Found, name: str = SCAN, **more: Any) -> Outcome:
    """One page of a scan of web1."""
    marked = {**scan_result(*found), "page": {"scan": name, "number": number, "of": of}, **more}
    return results.scanned("web1", marked)


def scanned(stage: Stage, *pages: Outcome) -> None:
    """A job that scans web1, and what came of it."""
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    stage.report(stage.claim(), *pages)


def found(stage: Stage, *names: str) -> list[Found]:
    """Bindings with certificates of their own."""
    pems = [stage.ca.issue(f"{name}.example").certificate for name in names]
    return [
        (pem, binding(pem, f"/{name}.pem", names=(f"{name}.example",)))
        for name, pem in zip(names, pems, strict=True)
    ]


def places(stage: Stage) -> dict[str, bool]:
    """Each known place, and whether it is there."""
    with stage.database.read() as session:
        rows = servers.places(session, servers.by_name(session, "web1"))
        return {row.path: row.absent_since is None for row in rows}


def ending(stage: Stage) -> tuple[ItemState, str]:
    """How the last scan ended."""
    with stage.database.read() as session:
        (item,) = jobs.page(session, None, 1)[0].items
        return item.state, item.message or ""


def warnings(stage: Stage) -> list[str]:
    with stage.database.read() as session:
        return [one["message"] for one in servers.by_name(session, "web1").warnings]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_in_any_order_the_pages_are_one_whole_scan(stage: Stage, order: Sequence[int]) -> None:
    some = found(stage, "a", "b", "c", "gone")
    stage.found("web1", *some)
    pages = [page(number + 1, 3, some[number]) for number in range(3)]
    scanned(stage, *(pages[number] for number in order))
    assert places(stage) == {"/a.pem": True, "/b.pem": True, "/c.pem": True, "/gone.pem": False}
    assert ending(stage) == (ItemState.SUCCEEDED, "3 places on 3 pages, 0 problems")
    assert warnings(stage) == []


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_where_a_page_is_lost_nothing_is_taken_for_gone_and_what_came_is_kept(
    stage: Stage, lost: int
) -> None:
    some = found(stage, "a", "b", "new")
    stage.found("web1", *some[:2])
    scanned(stage, *(page(number, 3, some[number - 1]) for number in (1, 2, 3) if number != lost))
    assert places(stage) == {"/a.pem": True, "/b.pem": True} | ({"/new.pem": True} if lost != 3 else {})
    state, told = ending(stage)
    assert state is ItemState.FAILED
    assert f"of the 3 pages of the scan {lost} did not arrive" in told
    assert warnings(stage) == [told]
    with stage.database.read() as session:
        assert servers.by_name(session, "web1").scan_wanted_at is not None, "it is looked at again"
    scanned(stage, *(page(number, 3, some[number - 1], name=OTHER) for number in (1, 2, 3)))
    assert ending(stage)[0] is ItemState.SUCCEEDED
    assert warnings(stage) == []


def test_a_page_that_comes_twice_changes_nothing(stage: Stage) -> None:
    some = found(stage, "a", "b")
    first, second = page(1, 2, some[0]), page(2, 2, some[1])
    scanned(stage, first, first, first)
    assert ending(stage)[0] is ItemState.FAILED, "one page is not two, however often it comes"
    scanned(stage, first, second, second, first)
    assert places(stage) == {"/a.pem": True, "/b.pem": True}
    assert ending(stage)[0] is ItemState.SUCCEEDED


def test_pages_of_two_scans_are_not_mistaken_for_one(stage: Stage) -> None:
    some = found(stage, "a", "b", "c")
    stage.found("web1", *some)
    scanned(stage, page(1, 2, some[0]), page(2, 2, some[1], name=OTHER))
    assert all(places(stage).values())
    assert ending(stage)[0] is ItemState.FAILED


def test_where_one_page_is_partial_the_whole_is(stage: Stage) -> None:
    some = found(stage, "a", "b", "c")
    stage.found("web1", *some)
    scanned(stage, page(1, 2, some[0], left_out=1), page(2, 2, some[1]))
    assert all(places(stage).values())
    assert "not all of it" in ending(stage)[1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_place_on_two_pages_is_one_place_with_all_its_names(stage: Stage, order: Sequence[int]) -> None:
    ((pem, _),) = found(stage, "*")
    sight = {"listener": "*:443", "fingerprint": None, "error": "no answer", "by": None}
    parts: list[Found] = []
    for number in range(2):
        name = f"{number}.example"
        part = binding(pem, names=(name,))
        problems = [{"kind": "weak_key", "message": name}]
        parts.append((pem, {**part, "problems": problems, "served": [{**sight, "name": name}]}))
    pages = [page(number + 1, 2, part) for number, part in enumerate(parts)]
    scanned(stage, *(pages[number] for number in order))
    with stage.database.read() as session:
        server = servers.by_name(session, "web1")
        (row,) = servers.places(session, server)
        assert set(row.names) == {"0.example", "1.example"}
        assert {one["message"] for one in row.problems} == {"0.example", "1.example"}
        assert {one["name"] for one in row.served} == {"0.example", "1.example"}
        assert len(server.problems) == 2
        assert len(row.files) == 2


def test_a_certificate_that_cannot_be_read_and_has_places_on_two_pages_is_told_once(stage: Stage) -> None:
    broken = {"ab" * 32: {"pem": "no PEM", "chain": None}}
    pages = [page(number, 2, *found(stage, str(number)), certificates=broken) for number in (1, 2)]
    scanned(stage, *pages)
    with stage.database.read() as session:
        told = [one["message"] for one in servers.by_name(session, "web1").problems]
    assert len([one for one in told if one.startswith("ab" * 8)]) == 1


def test_what_handshakes_showed_is_judged_when_all_pages_are_there(stage: Stage) -> None:
    some = found(stage, "a", "b")
    for _pem, one in some:
        sight = {"listener": "*:443", "name": None, "fingerprint": one["certificate"], "error": None}
        one["served"] = [sight]
        one["names"] = []
    scanned(stage, page(1, 2, some[0]), page(2, 2, some[1]))
    with stage.database.read() as session:
        for row in certificates.page(session, 0, 10):
            (place,) = row.deployments
            assert place.live_fingerprint == place.file_fingerprint
            assert place.verified_at is not None


def test_a_million_pages_are_not_believed() -> None:
    data = {
        "host": "web1",
        "resolved_action": "notafter.tls.certificate_scan_info",
        "res": {**scan_result(), "page": {"scan": SCAN, "number": 1, "of": 1_000_000}},
    }
    failed = events.outcome({"event": "runner_item_on_ok", "event_data": data})
    assert isinstance(failed, HostFailed)
    assert failed.code == ReasonCode.RESULT_UNREADABLE
    assert f"it claims to have 1000000 pages, and no scan has more than {MOST_PAGES}" in failed.message


@pytest.mark.parametrize(
    "wrong", [{"number": 0}, {"number": 4}, {"of": 0}, {"number": True}, {"scan": "x" * 32}, {"scan": None}]
)
def test_a_page_that_cannot_be_is_not_read(wrong: dict[str, Any]) -> None:
    mark = {"scan": SCAN, "number": 1, "of": 3, **wrong}
    with pytest.raises(ValueError, match="there is no page"):
        results.scanned("web1", {**scan_result(), "page": mark})


def test_what_is_told_on_very_many_pages_has_an_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MOST_TOLD", 3000)
    lines = [{"file": "/x", "line": 1, "message": f"{number} " + "y" * 100} for number in range(20)]
    some = found(stage, "a", "b", "c")
    scanned(stage, *(page(number, 3, some[number - 1], unresolved=lines) for number in (1, 2, 3)))
    told = warnings(stage)
    assert len(str(told)) < 4000
    assert told.count("there is too much to tell: not all of it is kept") == 1
    assert all(places(stage).values())
