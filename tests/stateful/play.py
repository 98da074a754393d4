"""What stands in for a run of Ansible: a real plan goes in, and what comes out is read as in production.

Variables, waves and what they hold back, the hand-out of keys, the readers of results are the real ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.plugin_utils import placements, progress
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from notafter.domain.errors import NotAuthenticated, NotFound
from notafter.domain.job import JobKind
from notafter.domain.outcome import HostFailed
from notafter.domain.reason import ReasonCode
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import handout
from notafter.runner import plan as plans
from notafter.runner import results

from tests.stateful.world import DeployFault, IssueFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from notafter.domain.outcome import Outcome
    from notafter.runner.plan import Plan
    from notafter.runner.run import Listener

    from tests.stateful.machine import Stage
    from tests.stateful.world import Host

MOST_WAVES = 5


class Killed(BaseException):
    """The worker is no more: nothing catches it, as nothing catches a SIGKILL."""


@dataclass(frozen=True)
class Script:
    """What goes wrong in one run, and what else happens while it runs: at the Nth thing that it tells."""

    issue: IssueFault = IssueFault.NONE
    deploy: Mapping[str, DeployFault] = field(default_factory=dict)
    killed_at: int | None = None
    taken_away_at: int | None = None
    clicked_at: int | None = None
    ticked_at: int | None = None


@dataclass
class Play:
    """One run."""

    stage: Stage
    script: Script
    wish: Plan
    token: str
    listener: Listener
    folder: Path
    told: int = 0

    def __post_init__(self) -> None:
        """Read the plan as Ansible would."""
        self.variables = _plain(json.loads(plans.inventory(self.wish, self.folder)))
        self.hostvars = self.variables["certificates"]["hosts"]
        self.alive = list(self.variables["servers"]["hosts"])

    def run(self) -> RunEnd:
        """To its end, unless somebody is killed."""
        if self.wish.kind is JobKind.SCAN:
            self._scan()
        if self.wish.kind is JobKind.RENEW:
            self._issue()
        if self.wish.kind in {JobKind.RENEW, JobKind.DEPLOY}:
            self._deploy()
        if self.wish.kind is not JobKind.SCAN:
            self._look()
        return RunEnd(RunState.COMPLETED)

    def _tell(self, outcome: Outcome) -> None:
        self.told += 1
        happens: tuple[tuple[int | None, Callable[[], object]], ...] = (
            (self.script.taken_away_at, self.stage.take_away),
            (self.script.clicked_at, self.stage.click_all),
            (self.script.ticked_at, self.stage.tick),
        )
        for moment, event in happens:
            if moment == self.told:
                event()
        if self.script.killed_at == self.told:
            raise Killed
        self.listener.on_outcome(outcome)

    def _fault(self, host: str) -> DeployFault:
        return self.script.deploy.get(host, DeployFault.NONE)

    # -- issuing

    def _issue(self) -> None:
        for key, variables in self.hostvars.items():
            result = self._signed(key, variables)
            variables["issue_signed"] = result
            self._tell(results.signed(key, result))

    def _signed(self, key: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        fault = self.script.issue
        if fault is not IssueFault.NONE:
            self.stage.failed(f"issuing: {fault}")
        if fault in {IssueFault.NONE, IssueFault.ANSWER_LOST}:
            known = variables["certificate_attempt"] in self.stage.ca.signed
            pem = self.stage.ca.sign(
                variables["certificate_attempt"],
                variables["certificate_csr"],
                variables["certificate_names"],
                self.stage.now,
            )
            self.stage.keep(pem)
            if not known:
                self.stage.ordered(key, pem)
            if fault is IssueFault.NONE:
                found = {"pem": pem, "chain_pem": "", "fingerprint_sha256": self.stage.fingerprint(pem)}
                return {"attempt": variables["certificate_attempt"], "certificate": found}
        if fault is IssueFault.WRONG_CERTIFICATE:
            self.stage.spoilt.add(key)
        name = "internal" if fault is IssueFault.ANSWER_LOST else fault.value
        wait = 3600 if fault is IssueFault.RATE_LIMITED else None
        return {
            "failed": True,
            "failure": {"class": name, "message": f"modelled: {fault}", "retry_after": wait},
        }

    # -- deploying

    def _deploy(self) -> None:
        hosts = list(self.alive)
        turns = {host: [1] for host in hosts}
        for wave in range(1, MOST_WAVES + 1):
            for host in hosts:
                if host in self.alive and wave in turns[host]:
                    later = self._wave(host, wave, hosts)
                    turns[host] = later if wave == 1 else turns[host]

    def _wave(self, host: str, wave: int, hosts: list[str]) -> list[int]:
        """One task on one host; returns the waves in which it has more to do."""
        wishes = placements.deployments(self.hostvars, list(self.hostvars), host, hosts)
        turn = progress.turn(host, wishes, wave)
        fault = self._fault(host)
        outcomes = [self._transaction(self.stage.hosts[host], wish, fault) for wish in turn.mine]
        if turn.mine and fault is not DeployFault.NONE:
            self.stage.failed(f"deploying: {fault}")
        if turn.mine and fault in {DeployFault.UNREACHABLE, DeployFault.ANSWER_LOST, DeployFault.KILLED}:
            self.alive.remove(host)
            self._tell(HostFailed(host, ReasonCode.UNREACHABLE, f"modelled: {fault}"))
            return []
        outcomes += [_outcome(wish, "held_back", "earlier_wave_failed", why) for wish, why in turn.held]
        failed = [one for one in outcomes if one["state"] not in {"deployed", "unchanged"}]
        summary = "; ".join(one["message"] for one in failed)
        result = turn.over({"failed": bool(failed), "msg": summary, "deployments": outcomes, "recovered": []})
        if result["failed"]:
            self.alive.remove(host)
        self._tell(results.deployed(host, result))
        return list(result["later"])

    def _transaction(self, host: Host, wish: Mapping[str, Any], fault: DeployFault) -> dict[str, Any]:
        if fault is DeployFault.UNREACHABLE:
            return _outcome(wish, "busy", "unreachable", "")
        try:
            wanted = self._bundle(wish)
        except (NotAuthenticated, NotFound) as error:
            return _outcome(wish, "refused", "no_bundle", str(error))
        path = wish["files"][0]["path"]
        if path in host.hidden:
            return _outcome(wish, "blocked_by_host", "not_verifiable", "its server does not name it")
        if fault in {DeployFault.BLOCKED, DeployFault.BUSY, DeployFault.CONFLICT}:
            return _outcome(wish, fault.value, fault.value, f"modelled: {fault}")
        return _changed(host, path, wish, wanted, fault)

    def _bundle(self, wish: Mapping[str, Any]) -> str:
        """What the action plugin would fetch with the job's token, and judge; returns its fingerprint."""
        with self.stage.database.read() as session:
            job = handout.opened_by(session, self.wish.job_id, self.token)
            found = handout.bundle(
                session, self.stage.custodian, job, wish["certificate"], wish["fingerprint"]
            )
        certificate = self.stage.ca.known[found.fingerprint]
        key = load_pem_private_key(found.private_key.encode(), None)
        assert key.public_key() == certificate.public_key(), (
            "I2: the key on record is that of the certificate"
        )
        if not certificate.not_valid_before_utc <= self.stage.now < certificate.not_valid_after_utc:
            raise NotFound("it is not valid now")
        return found.fingerprint

    # -- looking

    def _look(self) -> None:
        for host in self.alive:
            if self._fault(host) is DeployFault.NONE:
                wishes = placements.deployments(self.hostvars, list(self.hostvars), host)
                self._tell(results.probed(host, {"endpoints": [self._endpoint(host, one) for one in wishes]}))
                for wish in wishes:
                    shown = self.stage.hosts[host].live[wish["files"][0]["path"]]
                    if self.wish.kind is JobKind.VERIFY or shown == wish["fingerprint"]:
                        self.stage.looked_at(host, wish["files"][0]["path"])

    def _endpoint(self, host: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        shown = self.stage.hosts[host].live[wish["files"][0]["path"]]
        return {
            "id": wish["id"],
            "address": "10.0.0.1",
            "port": 443,
            "name": wish["names"][0],
            "state": "served",
            "fingerprint_sha256": shown,
            "matches": shown == wish["fingerprint"],
        }

    def _scan(self) -> None:
        for host in self.alive:
            if self._fault(host) is DeployFault.UNREACHABLE:
                self._tell(HostFailed(host, ReasonCode.UNREACHABLE, "modelled"))
                continue
            self._tell(results.scanned(host, self.stage.scan_of(host)))
            for path in self.stage.hosts[host].files:
                self.stage.looked_at(host, path)


def _changed(
    host: Host, path: str, wish: Mapping[str, Any], wanted: str, fault: DeployFault
) -> dict[str, Any]:
    """What a host that was fit makes of one place."""
    host.recover()
    live = host.live[path]
    if host.files[path] == live == wanted:
        return _outcome(wish, "unchanged", "in_place", "", wanted)
    if fault in {DeployFault.ROLLED_BACK, DeployFault.BROKEN}:
        return _outcome(wish, fault.value, "not_served", f"modelled: {fault}", live)
    host.put(path, wanted, fault)
    return _outcome(wish, "deployed", "verified", "", wanted)


def _outcome(
    wish: Mapping[str, Any], state: str, reason: str, message: str, live: str | None = None
) -> dict[str, Any]:
    return {
        "id": wish["id"],
        "certificate": wish["certificate"],
        "state": state,
        "reason": reason,
        "message": message or state,
        "live_fingerprint": live,
        "endpoints": [],
    }


def _plain(value: Any) -> Any:
    """A plan without the marks that make its strings text."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"]
            if "__ansible_unsafe" in value
            else {k: _plain(v) for k, v in value.items()}
        )
    return [_plain(one) for one in value] if isinstance(value, list) else value
