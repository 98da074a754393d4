"""A server's row follows its machine: a rename keeps places and history, a clone is told and not merged."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from notafter.domain.finding import Kind
from notafter.domain.job import ItemState
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import findings, request
from notafter.lifecycle.record import record
from notafter.lifecycle.record.finish import finish
from notafter.runner import results
from notafter.store import certificates, jobs, servers
from notafter.store.findings import Wanted

from tests.factories import DAY, binding, scan_result

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage

MACHINE = {
    "machine_id": "3d1219c7c4c5404aaa1f6d2a48adfda4",
    "boot_id": "boot-1",
    "uptime_seconds": 10 * 86400,
}
HOUR = timedelta(hours=1)


class Fleet:
    """A stage whose scans say which machine answered, and whose clock the test sets."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.now = stage.clock()
        self.pem = stage.ca.issue("shop.example").certificate

    def look(self, name: str, machine: dict[str, Any], *pairs: Any, path: str = "/etc/ssl/shop.pem") -> str:
        """Scans one name; returns what became of it."""
        found = scan_result(*(pairs or [(self.pem, binding(self.pem, path))]))
        found["server"] = {**found["server"], "hostname": name, **machine}  # type: ignore[dict-item]
        with self.stage.database.write() as session:
            job = request.scan(session, [name], "test", self.now).id
        claim = self.stage.claim()
        record(self.stage.desk, claim, results.scanned(name, found), self.now)
        finish(self.stage.database, claim, RunEnd(RunState.COMPLETED), self.now)
        self.now += HOUR
        with self.stage.database.read() as session:
            (item,) = jobs.get(session, job).items
            return f"{item.state}: {item.message}"

    def inventory(self, *names: str) -> None:
        """What the inventory has now."""
        with self.stage.database.write() as session:
            servers.mark_left(session, names, self.now)
            servers.enrol(session, names, self.now)

    def places(self) -> dict[str, list[str]]:
        """The places of each server that has any."""
        with self.stage.database.read() as session:
            found: dict[str, list[str]] = {}
            for row in certificates.page(session, 0, 100):
                for place in row.deployments:
                    found.setdefault(place.server.name, []).append(place.path)
            return found

    def told(self) -> dict[Kind, list[str]]:
        """The servers of each kind of finding about servers."""
        kinds = {Kind.CLONE, Kind.SAME_MACHINE, Kind.SAME_MACHINE_ID, Kind.SCAN_FAILED}
        findings.refresh(self.stage.database, self.now)
        with self.stage.database.read() as session:
            found: dict[Kind, list[str]] = {}
            for one in findings.everything(session, self.now, Wanted()):
                if one.kind in kinds:
                    found.setdefault(one.kind, []).append(one.server)
            return found

    def names(self) -> list[str]:
        """The names of all servers."""
        with self.stage.database.read() as session:
            return [row.name for row in servers.everyone(session)]


def test_a_renamed_server_keeps_its_places_its_adoption_and_its_history(stage: Stage) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    stage.adopt_all()
    fleet.inventory("shop1")
    assert fleet.look("shop1", MACHINE).startswith("succeeded: 1 places")
    assert fleet.places() == {"shop1": ["/etc/ssl/shop.pem"]}
    assert fleet.names() == ["shop1"]
    with stage.database.read() as session:
        row = servers.by_name(session, "shop1")
        assert [one["name"] for one in row.former_names] == ["web1"]
        assert row.left_at is None
        assert certificates.get(session, 1).deployments[0].adopted_at is not None
        shown = [item.server.name for job in jobs.page(session, None, 9) for item in job.items if item.server]
        assert shown == ["shop1", "shop1"], "the history goes on under the new name"
    assert fleet.told() == {}
    assert fleet.look("shop1", MACHINE).startswith("succeeded: 1 places")


def test_a_server_that_was_renamed_and_started_anew_is_the_same_once_its_old_name_is_gone(
    stage: Stage,
) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    fleet.inventory("shop1")
    fleet.now += 2 * DAY
    fleet.look("shop1", {**MACHINE, "boot_id": "boot-2", "uptime_seconds": 60})
    assert fleet.places() == {"shop1": ["/etc/ssl/shop.pem"]}
    assert fleet.names() == ["shop1"]


def test_one_machine_under_two_names_has_one_set_of_places(stage: Stage) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    for _ in range(2):
        assert "we know as web1" in fleet.look("alias", MACHINE)
        fleet.look("web1", MACHINE)
    assert fleet.places() == {"web1": ["/etc/ssl/shop.pem"]}
    assert fleet.told() == {Kind.SAME_MACHINE: ["alias"]}
    with stage.database.read() as session:
        assert servers.by_name(session, "alias").same_as_id == servers.by_name(session, "web1").id
    fleet.inventory("alias")
    fleet.look("alias", MACHINE)
    assert (fleet.names(), fleet.told()) == (["alias"], {}), "the name that stays is the machine's"


def test_a_clone_is_told_on_both_sides_and_nothing_is_merged(stage: Stage) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    stage.adopt_all()
    copy = {**MACHINE, "boot_id": "boot-9", "uptime_seconds": 5 * 86400}
    fleet.look("web2", copy)
    assert fleet.places() == {"web1": ["/etc/ssl/shop.pem"], "web2": ["/etc/ssl/shop.pem"]}
    assert fleet.told() == {Kind.CLONE: ["web1", "web2"]}
    fleet.look("web1", MACHINE)
    fleet.inventory("web2")
    fleet.look("web2", copy)
    assert fleet.names() == ["web1", "web2"], "a name that leaves is no reason to give a copy its places"
    with stage.database.read() as session:
        adopted = {p.server.name: p.adopted_at for p in certificates.get(session, 1).deployments}
        assert adopted["web2"] is None, "a copy is given no key"
    fleet.look("web2", {**copy, "machine_id": "f" * 32})
    assert fleet.told() == {}, "a machine id of its own settles it"


def test_what_cannot_be_told_is_said_and_nothing_is_merged(stage: Stage) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    fleet.now += 2 * DAY
    fleet.look("web2", {**MACHINE, "boot_id": "boot-2", "uptime_seconds": 60})
    assert fleet.told() == {Kind.SAME_MACHINE_ID: ["web1", "web2"]}
    assert set(fleet.places()) == {"web1", "web2"}
    fleet.look("web1", MACHINE)
    assert fleet.told() == {Kind.CLONE: ["web1", "web2"]}, "the first one lives: it is a copy"


def test_names_that_were_exchanged_put_nothing_on_record_until_they_are_new(stage: Stage) -> None:
    fleet = Fleet(stage)
    other = {**MACHINE, "machine_id": "b" * 32, "boot_id": "boot-b"}
    fleet.look("web1", MACHINE)
    fleet.look("web2", other, path="/etc/ssl/two.pem")
    stage.adopt_all()
    assert "failed: web1 is now the machine that we know as web2" in fleet.look("web1", other)
    assert fleet.places() == {"web1": ["/etc/ssl/shop.pem"], "web2": ["/etc/ssl/two.pem"]}
    assert fleet.told()[Kind.SCAN_FAILED] == ["web1"]
    fleet.inventory("a1", "a2")
    fleet.look("a1", other, path="/etc/ssl/two.pem")
    fleet.look("a2", MACHINE)
    assert fleet.places() == {"a2": ["/etc/ssl/shop.pem"], "a1": ["/etc/ssl/two.pem"]}


def test_a_server_without_a_machine_id_is_known_by_its_name_alone(stage: Stage) -> None:
    fleet = Fleet(stage)
    for name in ("web1", "web2"):
        for facts in ({}, {"machine_id": None}, {"machine_id": 7, "uptime_seconds": 10**400}):
            fleet.look(name, facts)
    assert set(fleet.places()) == {"web1", "web2"}
    assert fleet.told() == {}


def test_a_machine_that_a_job_is_at_is_renamed_later(stage: Stage) -> None:
    fleet = Fleet(stage)
    fleet.look("web1", MACHINE)
    stage.adopt_all()
    with stage.database.write() as session:
        waiting = request.renew(session, [1], "test", fleet.now).id
        servers.mark_left(session, ["shop1"], fleet.now)
        servers.enrol(session, ["shop1"], fleet.now)
        job = request.scan(session, ["shop1"], "test", fleet.now).id
    found = scan_result((fleet.pem, binding(fleet.pem)))
    found["server"] = {**found["server"], **MACHINE}  # type: ignore[dict-item]
    with stage.database.write() as session:
        for number in (waiting, job):  # both run: the renewal began before the scan
            jobs._take(session, number, 0, "w", "r", fleet.now)
        claim = jobs.Claim(job, 1, "r")
    record(stage.desk, claim, results.scanned("shop1", found), fleet.now)
    assert set(fleet.names()) == {"web1", "shop1"}
    assert set(fleet.places()) == {"web1"}
    with stage.database.read() as session:
        assert [item.state for item in jobs.get(session, job).items] == [ItemState.SUCCEEDED]
