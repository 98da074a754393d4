# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deploy of one host: one transaction for each group of services that share files.

Recover what a killed run left, lock, check, back up, swap, test the configuration, reload
once, verify over the wire, commit; else restore, reload, and show that the old state serves.
Success means that new handshakes show the new fingerprint; a return code proves nothing.
"""

import glob
import os
import re
import shlex
import shutil
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Set, Tuple

from . import commands, file_changes, handshake, pem, previous, services, state, transaction
from .configured import Configured
from .errors import Blocked, Conflict, HostError, Refused
from .placement import CHECK_PREFIX, Placement, Stop, require_pair

CONSECUTIVE = 3
PAUSE = 0.2
COMMAND_SECONDS = 60.0
RELOAD_SECONDS = 20.0
#: How long one that cannot be placed is looked for among those that are placed together with it.
SEARCH_SECONDS = 120.0
#: What one deployment may cause, and what all that are placed together with it then suffer.
_OF_ONE = ("config_test_failed", "not_writable", "unreadable", "not_a_file", "too_large", "file_changed")
_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """Deploys every deployment of the request; each gets its own outcome (contracts.md §2)."""
    wait = float(request.get("lock_seconds") or 60)
    check = bool(request.get("check"))
    with state.lock(os.path.join(state.directory(), "lock"), wait, "this host"):
        recovered = [] if check else recover()
        state.failpoint("locked")
        placements = [_placement(deployment, request) for deployment in request["deployments"]]
        for placement in placements:
            if placement.service not in services.KINDS:
                placement.stop(
                    "blocked_by_host", "unknown_service", "no kind of server is called %r" % placement.service
                )
        _refuse_shared_files(placements)
        configured = Configured()
        for group in _groups([one for one in placements if one.service in services.KINDS]):
            _Group(group, request, configured).deploy()
    return {"deployments": [placement.outcome() for placement in placements], "recovered": recovered}


def _placement(deployment: Dict[str, Any], request: Dict[str, Any]) -> Placement:
    """A deployment of a bundle, or of what the place had before."""
    if request.get("state") == "previous":
        return previous.placement(deployment, request)
    return Placement(deployment, request["bundles"].get(deployment["bundle"]))


def recover() -> List[Dict[str, str]]:
    """Puts right what a killed run left; raises Blocked when that is not possible."""
    for left_over in glob.glob(os.path.join(state.directory(), CHECK_PREFIX + "*")):
        shutil.rmtree(left_over, ignore_errors=True)
    return [{"transaction": left.identity, "message": _put_right(left)} for left in transaction.unfinished()]


def _put_right(left: transaction.Transaction) -> str:
    """Ends one unfinished transaction, forwards or backwards; says what was done."""
    if left.journal["step"] == "staged":
        left.discard()
        return "a killed run had touched nothing"
    about = left.journal["about"]
    if left.journal["step"] == "verified" and left.none_old():
        left.commit()
        return "a killed run had finished its work"
    restored = left.restore()
    if restored.failures:
        raise Blocked(
            "recovery_failed",
            "a killed run left new files that cannot be put back: %s; the back-ups are in %s"
            % ("; ".join(restored.failures), left.directory),
        )
    trouble = [sentence for name in about.get("services", []) for sentence in _apply_again(name, about)]
    left.settled()
    return "; ".join(["a killed run's files were put back"] + restored.foreign + trouble)


def _apply_again(name: str, about: Dict[str, Any]) -> List[str]:
    """Makes a service load what lies on the disk again, and starts one that went down meanwhile."""
    service = services.get(name)
    problem = first_trouble(service, service.test_commands(), "configuration test")
    if problem:
        return ["%s: %s" % (name, problem)]
    if service.running():
        problem = first_trouble(service, service.reload_commands(), "reload")
        return ["%s: %s" % (name, problem)] if problem else []
    units = about.get("units", {}).get(
        name, []
    )  # it ran when the killed run came: that run is why it does not now
    problem = first_trouble(service, starting(units), "start")
    if problem:
        return ["%s was down and does not start: %s" % (name, problem)]
    return ["%s was down and was started" % name] if units else []


def _refuse_shared_files(placements: List[Placement]) -> None:
    """Two that want different content in one file, or in one entry of a keystore, are both refused."""
    claims: Dict[Tuple[str, Optional[str]], List[Placement]] = {}
    for placement in placements:
        for claim in placement.claims():
            claims.setdefault(claim, []).append(placement)
    for (real, alias), claimants in claims.items():
        wanted = {one.contents.get(real) or one.deployment.get("bundle") for one in claimants}
        if len(wanted) > 1:
            place = real if alias is None else "the entry %s of %s" % (alias, real)
            for placement in claimants:
                placement.stop("refused", "file_claimed_twice", "two certificates claim %s" % place)


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

    def __init__(self, placements: List[Placement], request: Dict[str, Any], configured: Configured) -> None:
        self.placements = placements
        self.configured = configured
        self.check = bool(request.get("check"))
        self.diff = bool(request.get("diff"))
        self.verify_seconds = float(request.get("verify_seconds") or 15)
        self.services = {name: services.get(name) for name in sorted({p.service for p in placements})}
        self.running: List[str] = []
        self.units: Dict[str, List[str]] = {}

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
        except (HostError, OSError) as error:  # before anything was touched: after that _change catches them
            told = error if isinstance(error, HostError) else Blocked.by(error, "this host is not fit")
            for placement in self.open():
                placement.stop("blocked_by_host", told.kind, told.message)
        except Exception:  # noqa: BLE001 - a defect of ours keeps no other server back, nor hides what became of it
            place = " | ".join(traceback.format_exc(limit=-1).split("\n")).strip(" |")
            for placement in self.open():
                placement.stop("blocked_by_host", "internal", place)
        finally:
            for placement in self.placements:
                placement.seconds = round(time.monotonic() - start, 2)

    def _deploy(self) -> None:
        self._fill_keystores(self.open())
        for placement in self.open():
            placement.examine()
        if not self.open():
            return
        self._require_fit_host()
        serving = [
            one for one in self.open() if self.services[one.service].reloads
        ]  # others have no listener
        self._look("before", [(one, endpoint) for one in serving for endpoint in one.endpoints])
        for placement in self.open():
            self._judge(placement)
        if self.open():
            self._meet_readers()
        for placement in self.open():
            placement.reloads = self._reloaded(placement)
            placement.files = file_changes.of(placement) if self.diff else None
            if self.check:
                placement.stop("planned", "check_mode", placement.plan())
        state.failpoint("looked")
        self._change_all()

    def _change_all(self) -> None:
        """All at once; where one of them cannot be placed, the others without it."""
        deadline = time.monotonic() + SEARCH_SECONDS
        waiting = [self.open()] if self.open() else []
        while waiting:
            placements = waiting.pop()
            try:
                self._change(placements)
            except _Shared as shared:
                parts = _halves(placements) if shared.by_one() and time.monotonic() < deadline else []
                waiting.extend(parts)
                for placement in [] if parts else placements:
                    placement.stop(shared.state, shared.reason, shared.message)
            else:
                left = [placement for placement in placements if placement.state is None]
                waiting.extend([left] if left else [])

    def _fill_keystores(self, placements: List[Placement]) -> None:
        """What keystores are to hold: several deployments may each have an entry in one."""
        pending: Dict[str, bytes] = {}
        filled = [one for one in placements if one.stores() or one.bundle is None]
        for placement in filled:
            placement.fill(self.configured, pending)
        for placement in filled:
            placement.contents.update({real: pending[real] for real in placement.contents if real in pending})

    def _meet_readers(self) -> None:
        """Others that read the files, as the host's configuration says: they reload, and show it, as well."""
        named = {(one.service, endpoint) for one in self.placements for endpoint in one.endpoints}
        for placement in self.open():
            for reader in self.configured.readers(placement.changed_certificates()):
                if self._runs_fit(reader.service):
                    unnamed = [one for one in reader.endpoints if (reader.service, one) not in named]
                    placement.meet(reader._replace(endpoints=unnamed))
            asked = [(placement, one) for reader in placement.readers for one in reader.endpoints]
            self._look("before", asked)

    def _runs_fit(self, name: str) -> bool:
        """Whether a server runs and is to reload; one whose configuration is broken blocks the change."""
        if name not in self.services:
            service = services.get(name)
            if not service.running():
                return False
            self.services[name] = service
            self._require_fit(name, service)
        return name in self.running

    def _reloaded(self, placement: Placement) -> List[str]:
        """The servers that are reloaded for a deployment."""
        names = {placement.service} | {reader.service for reader in placement.readers}
        return [name for name in sorted(names) if name in self.running and self.services[name].reloads]

    def _judge(self, placement: Placement) -> None:
        """What the first look says: nothing to do, nothing that could be shown, or work."""
        runs = placement.runs = placement.service in self.running
        if not runs and placement.answered():
            message = (
                "%s does not run as far as we can tell, and yet its listener answers" % placement.service
            )
            placement.stop("blocked_by_host", "served_by_another", message)
        elif not runs and placement.in_place():
            self._stage(placement, "in place")
        elif runs and placement.in_place() and placement.serves():
            placement.stop("unchanged", "in_place", "already in place")
        elif runs and not placement.answered():
            message = "none of its listeners answers a TLS handshake, so that success could not be shown: %s"
            placement.stop("blocked_by_host", "not_verifiable", message % placement.shortfall())

    def _require_fit_host(self) -> None:
        """The host must be fit before anything is touched: what is broken already is not ours to mend."""
        for name, service in self.services.items():
            if not service.found():
                raise Stop("blocked_by_host", "service_missing", "%s is not installed here" % name)
            self._require_fit(name, service)

    def _require_fit(self, name: str, service: Any) -> None:
        if service.running():
            self.running.append(name)
        elif service.strangers():
            message = "a process is called %s, but it is not one that root would believe" % name
            raise Stop("blocked_by_host", "not_trusted", message)
        problem = self._test(name)
        if problem:
            message = "%s's configuration was broken before we came: %s" % (name, problem)
            raise Stop("blocked_by_host", "config_test_failed", message)

    def _test(self, name: str) -> Optional[str]:
        service = self.services[name]
        return first_trouble(service, service.test_commands(), "configuration test")

    def _look(self, when: str, asked: List[Tuple[Placement, handshake.Endpoint]]) -> None:
        """Asks every endpoint once and notes what it serves."""
        if not asked:
            return
        turns = handshake.Turns()

        def ask(one: Tuple[Placement, handshake.Endpoint]) -> handshake.Served:
            with turns.turn(one[1], self.verify_seconds):
                return one[0].ask(one[1])

        with ThreadPoolExecutor(max_workers=min(16, len(asked))) as pool:
            answers = list(pool.map(ask, asked))
        for (placement, endpoint), served in zip(asked, answers):
            placement.note(when, endpoint, served)

    def _change(self, placements: List[Placement]) -> None:
        """One transaction for all of these; raises _Shared where all have come back and none is settled.

        Those that are not served afterwards are settled; the others stay open, to be tried without them.
        """
        self._fill_keystores(placements)
        change = transaction.begin()
        changes = {}
        for placement in placements:
            changes.update({item.path: item for item in placement.changes()})
        self.units = {name: self._units(name) for name in self.running}
        about = {
            "services": sorted(self.services),
            "units": self.units,
            "deployments": [placement.identity() for placement in placements],
            "undoes": any(placement.noun == "previous" for placement in placements),
        }
        changed = {os.path.realpath(path) for path in changes}
        pairs = self.configured.pairs(sorted(changed))  # as they are before the change
        try:
            change.stage(list(changes.values()), about)
        except HostError as error:
            raise _Shared("blocked_by_host", error.kind, error.message) from error
        try:
            change.require_seen({real: seen for one in placements for real, seen in one.seen.items()})
            change.swap()
            _require_pairs(pairs, changed)
            self._apply()
            self._verify(placements, lambda placement: placement.serves())
            change.verified()
        except Conflict as error:
            self._give_way(change, error)
        except Exception as error:  # noqa: BLE001 - whatever it was: nobody else puts the old files back
            self._roll_back(change, placements, error)
            return
        change.commit()
        for placement in placements:
            placement.changed = True
            if placement.service in self.running:
                told = "new handshakes show the %s certificate"
                placement.stop("deployed", "verified", told % placement.noun)
            else:
                self._stage(placement, "the files are in place")

    def _stage(self, placement: Placement, what: str) -> None:
        """Says why nobody was shown the new certificate: nothing runs that could show it."""
        if self.services[placement.service].reloads:
            message = "%s; %s is not running and was left so" % (what, placement.service)
            placement.stop("staged", "service_stopped", message)
        else:
            message = "%s; nothing is known that uses them, so nothing was reloaded and nothing verified"
            placement.stop("staged", "nothing_to_reload", message % what)

    def _units(self, name: str) -> List[str]:
        """The systemd units that run a service."""
        commands_of = self.services[name].reload_commands()
        reloads = (["systemctl", "reload"], ["systemctl", "restart"])
        return [argv[-1] for argv in commands_of if argv[:2] in reloads]

    def _apply(self) -> None:
        self._require_tests_passed()
        state.failpoint("tested")
        self._reload()
        state.failpoint("reloaded")

    def _require_tests_passed(self) -> None:
        for name in self.services:
            problem = self._test(name)
            if problem:
                raise HostError("config_test_failed", "with the new files %s" % problem)

    def _reload(self) -> None:
        for name in self.running:
            service = self.services[name]
            again = service.reload_commands() or starting(self.units[name])  # a failed restart leaves it down
            limit = COMMAND_SECONDS if service.settling_seconds else RELOAD_SECONDS
            problem = first_trouble(service, again, "reload", limit)
            if problem:
                self._end_reload(name)
                raise HostError("reload_failed", problem)

    def _end_reload(self, name: str) -> None:
        """Ends what a reload that hangs has left at work: the next one would only wait for it."""
        for unit in self.units.get(name, []):
            commands.run(["systemctl", "kill", "--kill-who=control", "--signal=KILL", unit], RELOAD_SECONDS)

    def _verify(self, placements: List[Placement], good: Any) -> None:
        """Asks again and again until every running deployment is good several times in a row."""
        settling = max(self.services[name].settling_seconds for name in self.services)
        deadline = time.monotonic() + self.verify_seconds + settling
        watched = [placement for placement in placements if placement.runs or placement.readers]
        streak = 0
        while watched and streak < CONSECUTIVE:
            self._look("after", [(one, endpoint) for one in watched for endpoint in one.asked()])
            bad = [placement for placement in watched if not good(placement)]
            streak = 0 if bad else streak + 1
            if bad and time.monotonic() > deadline:
                raise NotServed(bad)
            time.sleep(PAUSE)

    def _give_way(self, change: transaction.Transaction, error: Conflict) -> None:
        """Leaves a file to whoever changed it after we had looked; no server has read anything of ours."""
        failures = change.restore().failures
        if failures:
            raise Stop("broken", error.kind, self._told_broken(change, error, failures))
        change.settled()
        raise _Shared("conflict", error.kind, "%s; nothing was changed, scan the host again" % error.message)

    def _roll_back(
        self, change: transaction.Transaction, placements: List[Placement], error: Exception
    ) -> None:
        """Puts the old state back and shows that it serves; says loudly where that fails."""
        restored = change.restore()
        trouble = restored.failures + restored.foreign + self._serve_again(placements)
        if trouble and not restored.failures and self._belongs_to_another(placements):
            change.settled()
            message = "%s; somebody else put another certificate in its place meanwhile, which serves now"
            raise Stop("conflict", "file_changed", message % error)
        if trouble:
            raise Stop("broken", _kind(error), self._told_broken(change, error, trouble))
        change.settled()
        told = "%s; the old certificate serves again"
        if not isinstance(error, NotServed):
            raise _Shared("rolled_back", _kind(error), told % error)
        for placement in error.placements:
            placement.stop("rolled_back", error.kind, told % placement.shortfall())

    def _serve_again(self, placements: List[Placement]) -> List[str]:
        """What keeps the old state from serving; a reload that fails does not, where clients are shown it."""
        trouble, reload_failure = [], ""
        try:
            self._require_tests_passed()
        except (HostError, OSError) as error:
            trouble.append(str(error))
        try:
            self._reload()
        except (HostError, OSError) as error:
            reload_failure = str(error)
        try:
            self._verify(placements, lambda placement: placement.serves_as_before())
        except (HostError, OSError) as error:
            trouble.extend(told for told in (reload_failure, str(error)) if told)
        return trouble

    def _told_broken(self, change: transaction.Transaction, error: Exception, trouble: List[str]) -> str:
        """What went wrong twice, and the steps that are left for a person."""
        steps = change.by_hand()
        tests = [argv for service in self.services.values() for argv in service.test_commands()]
        steps.extend(" ".join(shlex.quote(word) for word in argv) for argv in tests)
        message = "%s; and the roll-back failed: %s. The old files are in %s. As root: `%s`; then reload %s"
        told = (error, "; ".join(trouble), change.directory, "`, `".join(steps), ", ".join(self.services))
        return message % told

    def _belongs_to_another(self, placements: List[Placement]) -> bool:
        """Whether all that serves is neither the old nor the new certificate, but what lies on the disk."""
        theirs = all(placement.serves_what_lies_there() for placement in placements)
        return theirs and not any(self._test(name) for name in self.services)


def _require_pairs(pairs: List[Tuple[str, str]], changed: Set[str]) -> None:
    """Whoever reads the new files can load them: Apache's own test reads no key, and its reload ends it.

    A pair of which neither has changed (only a file of issuers beside it) is as good as it was. A key
    that comes back encrypted only its server can open.
    """
    for certificate, key in pairs:
        touched = {os.path.realpath(one) for one in (certificate, key)} & changed
        if not touched or (os.path.realpath(key) in touched and pem.encrypted(transaction.read(key) or b"")):
            continue
        shown = "".join(pem.certificates((transaction.read(certificate) or b"").decode("latin-1")))
        kept = _CERTIFICATE.sub(b"", transaction.read(key) or b"")  # each file must have its own part
        try:
            require_pair(shown.encode("ascii") + kept)
        except Refused as error:
            message = "with the new files %s and %s do not belong together: %s"
            raise HostError("config_test_failed", message % (certificate, key, error.message)) from error


def _kind(error: Exception) -> str:
    """The short code of whatever went wrong."""
    if isinstance(error, OSError):
        return Blocked.by(error, "").kind
    return error.kind if isinstance(error, HostError) else "internal"


class _Shared(Stop):
    """What has become of all that were placed together, though perhaps one of them alone is why."""

    def by_one(self) -> bool:
        """Whether the others may fare better without one of them."""
        return self.reason in _OF_ONE


def _halves(placements: List[Placement]) -> List[List[Placement]]:
    """Two parts that have no file in common; none where all have."""
    parts: List[Tuple[Set[str], List[Placement]]] = []
    for placement in placements:
        files, joined = {real for real, _alias in placement.claims()}, [placement]
        for part in [one for one in parts if one[0] & files]:
            parts.remove(part)
            files, joined = part[0] | files, part[1] + joined
        parts.append((files, joined))
    middle = len(parts) // 2
    if not middle:
        return []
    return [[one for _files, part in some for one in part] for some in (parts[:middle], parts[middle:])]


class NotServed(HostError):
    """New handshakes do not show what they should."""

    def __init__(self, placements: List[Placement]) -> None:
        super().__init__("not_served", "; ".join(placement.shortfall() for placement in placements))
        self.placements = placements


def starting(units: List[str]) -> List[List[str]]:
    """What starts services again that went down, also after too many tries."""
    return [["systemctl", verb, unit] for unit in units for verb in ("reset-failed", "start")]


def first_trouble(
    service: Any, argvs: List[List[str]], what: str, seconds: float = COMMAND_SECONDS
) -> Optional[str]:
    """Why one of a service's commands did not succeed (a server may run several times); None when all did."""
    for argv in argvs:
        result = commands.run(argv, seconds, env=service.command_environment())
        if result.timed_out:
            return "the %s (%s) did not end within %d s" % (what, " ".join(argv), seconds)
        if result.returncode != 0:
            return "the %s (%s) fails: %s" % (what, " ".join(argv), result.said())
    return None
