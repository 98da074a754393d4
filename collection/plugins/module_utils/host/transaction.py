# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files of one change, or none: journal, stage, back up, swap, commit or restore.

Knows files, not TLS. A transaction is a directory `transactions/<id>/` (0700) with a
journal and the back-ups. The journal is written before each step, so that whoever finds
it later knows what a killed run may have done:

    staged     new content lies beside the files under names of its own; nothing was touched
    swapping   the files may be new
    verified   all are new and a client was shown to see them
    committed  nothing is left to do; kept as the back-up for `previous`
    put back   the old content lies there again, and somebody may still serve what was new
    restored   the old content is what serves as well

Several files are exchanged by one rename (switch.py), forwards and backwards: at no instant is
one new and another old, also for a machine that loses its power. All that needs room on a disk
is written while nothing is touched yet; what comes later are renames.
"""

import errno
import os
import re
import shutil
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set

from . import state
from .errors import NO_SPACE, Blocked, Conflict, HostError
from .replacement import LIMIT, Change, Replacement, Standing, digest, read
from .switch import NEW, OLD, UNABLE, Switch, unlink

__all__ = [
    "KEEP",
    "LIMIT",
    "Change",
    "Restored",
    "Transaction",
    "begin",
    "committed",
    "digest",
    "read",
    "unfinished",
]

KEEP = 5
#: When a change was begun, in milliseconds, and by which process.
_IDENTITY = re.compile(r"([0-9]{13})-[0-9]+\Z")
#: Room that the journal may need when the disk has become full after the swap.
_RESERVE = 16 * 1024


class Restored(NamedTuple):
    """What a restore could not do: `failures` want another try, `foreign` files are not ours to touch."""

    failures: List[str]
    foreign: List[str]


class Transaction:
    """One change of several files. Create it, `stage`, `swap`, then `commit` or `restore`."""

    def __init__(self, identity: str, journal: Optional[Dict[str, Any]] = None) -> None:
        self.identity = identity
        self.directory = state.directory("transactions", identity)
        self._journal_path = os.path.join(self.directory, "journal.json")
        self._reserve = os.path.join(self.directory, "reserve")
        self.journal = journal or {"id": identity, "step": "staged", "files": [], "about": {}, "switch": None}
        self._files = [Replacement(entry) for entry in self.journal["files"]]

    def stage(self, changes: List[Change], about: Dict[str, Any]) -> None:
        """Writes all new content and all back-ups; no file in use is touched.

        `about` is kept with the journal for whoever has to put things right.
        """
        self._files = [
            Replacement.planned(number, change, self.identity, self.directory)
            for number, change in enumerate(changes)
        ]
        self.journal.update(about=about, files=[one.entry for one in self._files], switch=self._folder())
        try:
            self._record("staged")
            state.failpoint("journalled")
            state.write(self._reserve, os.urandom(_RESERVE))
            for number, (one, change) in enumerate(zip(self._files, changes)):
                one.back_up()
                state.failpoint("backed-up-%d" % number)
                one.write(change.content)
                state.failpoint("written-%d" % number)
            self._make_switch()
            self._record("staged")
        except OSError as error:
            self.discard()
            raise Blocked.by(error, "cannot write beside the files", "not_writable") from error
        except HostError:
            self.discard()
            raise
        state.failpoint("staged")

    def _renamed(self) -> List[Replacement]:
        return [one for one in self._files if not one.in_place]

    def _folder(self) -> Optional[str]:
        """Where the links of several files lead through: beside the key, whose folder is the closest one."""
        renamed = self._renamed()
        if len(renamed) < 2:
            return None
        first = next((one for one in renamed if one.entry["secret"]), renamed[0])
        return os.path.join(os.path.dirname(first.real), ".notafter-%s" % self.identity)

    def _switch(self) -> Optional[Switch]:
        folder = self.journal.get("switch")
        return Switch(folder) if folder else None

    def _make_switch(self) -> None:
        switch = self._switch()
        if switch is None:
            return
        try:
            switch.make([one.entry for one in self._renamed()])
        except OSError as error:
            if error.errno not in UNABLE:
                raise
            switch.remove()
            self.journal["switch"] = None  # no links on this file system: file by file, as good as it gets

    def require_seen(self, seen: Dict[str, Optional[str]]) -> None:
        """Raises Conflict where what was backed up is not what was looked at (digests by path)."""
        for one in self._files:
            path, before = one.entry["path"], one.entry["before"]
            if seen.get(path, before) != before:
                raise Conflict("file_changed", "somebody else changed %s meanwhile" % path)

    def swap(self) -> None:
        """Puts the new files in place; raises Conflict where one is not what was backed up."""
        self._record("swapping")
        state.failpoint("swapping")
        self._turn(NEW, self._renamed())
        state.failpoint("switched")
        for number, one in enumerate(self._files):
            self._put(one, NEW)
            state.failpoint("swapped-%d" % number)

    def _turn(self, side: str, files: List[Replacement]) -> None:
        """Makes links of all files, and shows the other side of them all by one rename."""
        switch = self._switch()
        if switch is None or switch.side() in (None, side):
            return
        for one in files:
            if not one.linked() and one.require_ours().value != side:
                one.link(switch.target(one.entry))
        state.failpoint("linked")
        switch.turn(side)

    @staticmethod
    def _put(one: Replacement, side: str) -> None:
        if one.require_ours().value != side or one.linked():
            one.put(side)

    def restore(self) -> Restored:
        """Puts the old content back wherever the new one lies.

        A file that somebody else has changed since is left alone and named as foreign.
        """
        failures: List[str] = []
        state.failpoint("restoring")
        known = [one for one in self._files if "before" in one.entry]
        ours = [one for one in known if self._is_ours(one)]
        side = self._turn_back(ours, failures)
        for number, one in enumerate(ours):
            try:
                self._put(one, side)
            except (OSError, HostError) as error:
                failures.append("%s: %s" % (one.entry["path"], error))
            state.failpoint("restored-%d" % number)
        if not failures:
            self._try_to_clear(failures)
        if not failures:
            self._try_to_record("put back")
            state.failpoint("put-back")
        told = "%s was changed by somebody else meanwhile and is left as it is"
        foreign = [one for one in known if one.standing() is not Standing.OLD and one not in ours]
        return Restored(failures, [told % one.entry["path"] for one in foreign])

    def _is_ours(self, one: Replacement) -> bool:
        """Whether what lies there is what this change has put there, or may put there again.

        While the old side is shown we have put nothing but links: a file that is new all the same was
        made so by somebody else, who wants the same as we.
        """
        switch = self._switch()
        if switch is not None and switch.side() == OLD and not one.in_place and not one.linked():
            return one.standing() is Standing.OLD
        return one.standing() is not Standing.FOREIGN

    def settled(self) -> None:
        """Says that whoever had read the new files has read the old ones again."""
        self._try_to_record("restored")

    def _turn_back(self, ours: List[Replacement], failures: List[str]) -> str:
        """The side that all files show after an attempt to show the old one: never one of each."""
        try:
            self._turn(OLD, [one for one in ours if not one.in_place])
        except (OSError, HostError) as error:
            failures.append(str(error))
            return NEW
        return OLD

    def by_hand(self) -> List[str]:
        """The commands that put the old content back, for whoever must do what `restore` could not."""
        return [one.by_hand() for one in self._files if one.standing() is not Standing.OLD]

    def none_old(self) -> bool:
        """Whether nothing of the old content lies there: new, or what somebody has put there since."""
        return all(one.standing() in (Standing.NEW, Standing.FOREIGN) for one in self._files)

    def verified(self) -> None:
        """Says that a client was shown to see the new files: whoever finds this goes on, not back."""
        self._record("verified")
        state.failpoint("verified")

    def commit(self) -> None:
        """Says that the change stands; older back-ups beyond the last few go."""
        if self.journal["step"] != "verified":
            self._record("verified")
        failures: List[str] = []
        self._try_to_clear(failures)
        if failures:  # the change stands all the same: the next run tidies up
            return
        self._try_to_record("committed")
        state.failpoint("committed")
        _retain()

    def discard(self) -> None:
        """Forgets a change that touched nothing."""
        self._clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _clear(self) -> None:
        """Takes away all that lies beside the files; each is a regular file again."""
        for one in self._files:
            one.clear()
        switch = self._switch()
        if switch is not None:
            try:
                switch.remove()
            except OSError as error:
                if error.errno != errno.EROFS:
                    raise

    def _try_to_clear(self, failures: List[str]) -> None:
        try:
            self._clear()
        except OSError as error:
            failures.append("what lies beside the files cannot be taken away: %s" % error)

    def _try_to_record(self, step: str) -> None:
        """An end that cannot be written is found by the next run, which has nothing left to do."""
        try:
            self._record(step)
        except OSError:
            return
        unlink(self._reserve)

    def _record(self, step: str) -> None:
        journal = dict(self.journal, step=step, at=int(time.time()))
        try:
            state.write_json(self._journal_path, journal)
        except OSError as error:
            if error.errno not in NO_SPACE or not os.path.exists(self._reserve):
                raise
            os.unlink(self._reserve)
            state.write_json(self._journal_path, journal)
        self.journal.update(journal)


def begin() -> Transaction:
    """A change whose identity sorts after those of all changes before it, whatever the clock was then.

    Whoever calls this holds the lock of the host.
    """
    known = [_IDENTITY.match(one) for one in os.listdir(state.directory("transactions"))]
    after = max([int(one.group(1)) + 1 for one in known if one], default=0)
    return Transaction("%013d-%d" % (max(int(time.time() * 1000), after), os.getpid()))


def unfinished() -> List[Transaction]:
    """The transactions that a killed run left: neither committed nor restored, oldest first."""
    found = []
    base = state.directory("transactions")
    for identity in sorted(os.listdir(base)):
        path = os.path.join(base, identity, "journal.json")
        journal = state.read_json(path)
        if journal is None and os.path.exists(path):
            raise Blocked(
                "recovery_failed", "the journal %s cannot be read; look at it before anything else" % path
            )
        if journal is None:
            shutil.rmtree(os.path.join(base, identity), ignore_errors=True)  # nothing was written yet
        elif journal["step"] not in ("committed", "restored"):
            found.append(Transaction(identity, journal))
    return found


def committed() -> List[Dict[str, Any]]:
    """The journals of the changes that stand, the newest first: each with the back-ups of what was before."""
    return [journal for journal in _finished() if journal["step"] == "committed"]


def _finished() -> List[Dict[str, Any]]:
    """The journals of all changes that came to an end, the newest first."""
    base = state.directory("transactions")
    journals = [state.read_json(os.path.join(base, one, "journal.json")) for one in os.listdir(base)]
    found = [one for one in journals if one is not None and one["step"] in ("committed", "restored")]
    return sorted(found, key=lambda journal: str(journal["id"]), reverse=True)


def _retain() -> None:
    """Keeps the last few changes, and of each file the newest that stands: what `previous` goes back to."""
    base = state.directory("transactions")
    known: Set[str] = set()
    for number, journal in enumerate(_finished()):
        files = {entry["real"] for entry in journal["files"]} if journal["step"] == "committed" else set()
        if number >= KEEP and files <= known:
            shutil.rmtree(os.path.join(base, journal["id"]), ignore_errors=True)
        known |= files
