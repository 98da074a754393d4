# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy of one host: one transaction for each group of services that share files.

Recover what a killed run left, lock, check, back up, swap, test the configuration, reload
once, verify over the wire, commit; else restore, reload, and show that the old state serves.
Success means that new handshakes show the new fingerprint; a return code proves nothing.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional

from . import commands, services, state, transaction
from .errors import Blocked, HostError
from .placement import Placement, Stop

CONSECUTIVE = 3
PAUSE = 0.2
COMMAND_SECONDS = 60.0


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """Deploys every deployment of the request; each gets its own outcome (contracts.md §2)."""
    wait = float(request.get("lock_seconds") or 60)
    check = bool(request.get("check"))
    with state.lock(os.path.join(state.directory(), "lock"), wait, "this host"):
        recovered = [] if check else recover()
        placements = [
            Placement(deployment, request["bundles"].get(deployment["bundle"]))
            for deployment in request["deployments"]
        ]
        _refuse_shared_files(placements)
        for group in _groups(placements):
            _Group(group, check, float(request.get("verify_seconds") or 15)).deploy()
    return {"deployments": [placement.outcome() for placement in placements], "recovered": recovered}


def recover() -> List[Dict[str, str]]:
    """Puts right what a killed run left; raises Blocked when that is not possible."""
    told = []
    for left in transaction.unfinished():
        if left.journal["step"] == "staged":
            left.discard()
            told.append({"transaction": left.identity, "message": "a killed run had touched nothing"})
            continue
        restored = left.restore()
        if restored.failures:
            raise Blocked(
                "recovery_failed",
                "a killed run left new files that cannot be put back: %s; the back-ups are in %s"
                % ("; ".join(restored.failures), left.directory),
            )
        trouble = [
            sentence for name in left.journal["about"].get("services", []) for sentence in _apply_again(name)
        ]
        message = "a killed run's files were put back"
        told.append(
            {"transaction": left.identity, "message": "; ".join([message] + restored.foreign + trouble)}
        )
    return told


def _apply_again(name: str) -> List[str]:
    """Makes a running service load what lies on the disk again; returns what went wrong."""
    service = services.get(name)
    if not service.running():
        return []
    problem = first_trouble(service, service.test_commands(), "configuration test")
    problem = problem or first_trouble(service, service.reload_commands(), "reload")
    return [problem] if problem else []


def _refuse_shared_files(placements: List[Placement]) -> None:
    """Two deployments that want different content in one file are both refused."""
    claims: Dict[str, List[Placement]] = {}
    for placement in placements:
        for real in placement.contents:
            claims.setdefault(real, []).append(placement)
    for real, claimants in claims.items():
        if len({placement.contents[real] for placement in claimants}) > 1:
            for placement in claimants:
                placement.stop("refused", "file_claimed_twice", "two certificates claim %s" % real)


def _groups(placements: List[Placement]) -> List[List[Placement]]:
    """Deployments that stand or fall together: the same service, or a file in common."""
    groups: List[List[Placement]] = []
    for placement in placements:
        joined = [placement]
        apart = []
        for group in groups:
            if any(placement.touches(other) for other in group):
                joined = group + joined
            else:
                apart.append(group)
        groups = apart + [joined]
    return groups


class _Group:
    """The deployments that share a configuration test and a reload."""

    def __init__(self, placements: List[Placement], check: bool, verify_seconds: float) -> None:
        self.placements = placements
        self.check = check
        self.verify_seconds = verify_seconds
        self.services = {name: services.get(name) for name in sorted({p.service for p in placements})}
        self.running: List[str] = []

    def open(self) -> List[Placement]:
        """The deployments that nothing has spoken against yet."""
        return [placement for placement in self.placements if placement.state is None]

    def deploy(self) -> None:
        start = time.monotonic()
        try:
            self._deploy()
        except Stop as stop:
            for placement in self.open():
                placement.stop(stop.state, stop.reason, stop.message)
        finally:
            for placement in self.placements:
                placement.seconds = round(time.monotonic() - start, 2)

    def _deploy(self) -> None:
        for placement in self.open():
            placement.examine()
        if not self.open():
            return
        self._require_fit_host()
        if self.running:
            self._look("before")
        for placement in self.open():
            if placement.in_place() and (placement.service not in self.running or placement.serves()):
                placement.stop("unchanged", "in_place", "already in place")
        if self.check:
            for placement in self.open():
                placement.stop("planned", "check_mode", placement.plan())
        if self.open():
            self._change()

    def _require_fit_host(self) -> None:
        """The host must be fit before anything is touched: what is broken already is not ours to mend."""
        for name, service in self.services.items():
            if not service.found():
                raise Stop("blocked_by_host", "service_missing", "%s is not installed here" % name)
            if service.running():
                self.running.append(name)
            problem = self._test(name)
            if problem:
                message = "%s's configuration was broken before we came: %s" % (name, problem)
                raise Stop("blocked_by_host", "config_test_failed", message)

    def _test(self, name: str) -> Optional[str]:
        service = self.services[name]
        return first_trouble(service, service.test_commands(), "configuration test")

    def _look(self, when: str) -> None:
        """Asks every endpoint once and notes what it serves."""
        asked = [
            (placement, endpoint)
            for placement in self.open()
            if placement.service in self.running
            for endpoint in placement.endpoints
        ]
        if not asked:
            return
        with ThreadPoolExecutor(max_workers=min(16, len(asked))) as pool:
            answers = list(pool.map(lambda one: one[0].ask(one[1]), asked))
        for (placement, endpoint), served in zip(asked, answers):
            placement.note(when, endpoint, served)

    def _change(self) -> None:
        placements = self.open()
        change = transaction.Transaction("%013d-%d" % (time.time() * 1000, os.getpid()))
        changes = {}
        for placement in placements:
            changes.update({item.path: item for item in placement.changes()})
        try:
            change.stage(list(changes.values()), {"services": sorted(self.services)})
        except Blocked as blocked:
            raise Stop("blocked_by_host", blocked.kind, blocked.message) from blocked
        try:
            change.swap()
            self._apply()
            self._verify(lambda placement: placement.serves())
        except (HostError, OSError) as error:
            self._roll_back(change, error)
            return
        state.failpoint("verified")
        change.commit()
        for placement in placements:
            if placement.service in self.running:
                placement.stop("deployed", "verified", "new handshakes show the new certificate")
            else:
                message = "%s is not running and was left so; the files are in place" % placement.service
                placement.stop("staged", "service_stopped", message)

    def _apply(self) -> None:
        for name in self.services:
            problem = self._test(name)
            if problem:
                raise HostError("config_test_failed", "with the new files %s" % problem)
        state.failpoint("tested")
        for name in self.running:
            service = self.services[name]
            problem = first_trouble(service, service.reload_commands(), "reload")
            if problem:
                raise HostError("reload_failed", problem)
        state.failpoint("reloaded")

    def _verify(self, good: Any) -> None:
        """Asks again and again until every running deployment is good several times in a row."""
        deadline = time.monotonic() + self.verify_seconds
        streak = 0
        while True:
            self._look("after")
            bad = [p for p in self.open() if p.service in self.running and not good(p)]
            streak = 0 if bad else streak + 1
            if streak >= CONSECUTIVE or not self.running:
                return
            if bad and time.monotonic() > deadline:
                raise HostError("not_served", "; ".join(placement.shortfall() for placement in bad))
            time.sleep(PAUSE)

    def _roll_back(self, change: transaction.Transaction, error: Exception) -> None:
        """Puts the old state back and shows that it serves; says loudly where that fails."""
        reason = getattr(error, "kind", "os_error")
        trouble = []
        restored = change.restore()
        trouble.extend(restored.failures + restored.foreign)
        try:
            self._apply()
            self._verify(lambda placement: placement.serves_as_before())
        except HostError as second:
            trouble.append(second.message)
        if not trouble:
            raise Stop("rolled_back", reason, "%s; the old certificate serves again" % error)
        raise Stop(
            "broken",
            reason,
            "%s; and the roll-back failed: %s. Put back what lies in %s by hand, run `%s`, then reload"
            % (
                error,
                "; ".join(trouble),
                change.directory,
                " ".join(self.services[sorted(self.services)[0]].test_command()),
            ),
        )


def first_trouble(service: Any, argvs: List[List[str]], what: str) -> Optional[str]:
    """Why one of a service's commands did not succeed (a server may run several times); None when all did."""
    for argv in argvs:
        result = commands.run(argv, COMMAND_SECONDS, env=service.command_environment())
        if result.timed_out:
            return "the %s (%s) did not end within %d s" % (what, " ".join(argv), COMMAND_SECONDS)
        if result.returncode != 0:
            return "the %s (%s) fails: %s" % (what, " ".join(argv), result.said())
    return None
