# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has become of each certificate so far in this run: what the servers of the next wave go by.

It lies below the folder that Ansible makes for each run and removes with it: an empty file for a server
that took the certificate, one with the reason for a server that did not. Asking costs the listing of one
folder, however many servers there are; the variables of the other hosts would cost a second for a thousand.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible import constants

from . import waves

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Outcome = t.Mapping[str, t.Any]
Wish = t.Mapping[str, t.Any]

_GOOD, _FAILED = ".good", ".failed"


@dataclass(frozen=True)
class Turn:
    """One wave on one server: what is tried now, what is held back and why, and which waves come later."""

    server: str
    mine: list[dict[str, t.Any]]
    held: list[tuple[dict[str, t.Any], str]]
    later: list[int]

    def over(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        """Puts down how it went; a host has failed when its last wave is over, and not before.

        A host that has failed leaves the play, and its later waves are about other certificates.
        """
        for wish in self.mine:
            _note(self.server, wish, result["deployments"])
        told = [remembered(self.server), result["msg"] if result["failed"] else None]
        failures = "; in a later wave: ".join(filter(None, told))
        if self.later:
            _keep(self.server, failures)
            return {**result, "failed": False, "later": self.later}
        return {**result, "failed": bool(failures), "later": [], "msg": failures or result["msg"]}


def turn(server: str, wishes: Sequence[dict[str, t.Any]], wave: int) -> Turn:
    """What a server is to do in a wave; what names no wave is of the first."""
    if wave == 1:
        _host(server).unlink(missing_ok=True)  # an earlier play of this run had its own say
    waves_of = [int(wish.get("wave") or 1) for wish in wishes]
    now = [wish for wish, its in zip(wishes, waves_of, strict=True) if its == wave]
    why = [held_back(wish) if wave > 1 else None for wish in now]
    return Turn(
        server=server,
        mine=[wish for wish, sentence in zip(now, why, strict=True) if sentence is None],
        held=[(wish, sentence) for wish, sentence in zip(now, why, strict=True) if sentence is not None],
        later=sorted({its for its in waves_of if its > wave}),
    )


def held_back(wish: Wish) -> str | None:
    """Why a deployment whose turn has come is not tried: what happened on earlier servers, or None."""
    folder = _folder(wish)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    failed = [name for name in names if name.endswith(_FAILED)]
    if not waves.stopped(len(failed), len(names) - len(failed), int(wish.get("max_fail_percentage") or 0)):
        return None
    first = (folder / min(failed)).read_text(encoding="utf-8")
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"not tried, because an earlier server did not take it: {first}{others}"


def remembered(server: str) -> str | None:
    """What failed in this server's earlier waves, if anything did."""
    path = _host(server)
    return path.read_text(encoding="utf-8") or None if path.exists() else None


def _keep(server: str, told: str) -> None:
    path = _host(server)
    _make(path.parent)
    path.write_text(told, encoding="utf-8", errors="backslashreplace")


def _note(server: str, wish: Wish, outcomes: Iterable[Outcome]) -> None:
    """Puts down how this server took one certificate, if it says anything about the certificate."""
    outcomes = [outcome for outcome in outcomes if outcome["certificate"] == wish["certificate"]]
    against = [outcome for outcome in outcomes if outcome["state"] in waves.AGAINST]
    if not against and not any(outcome["state"] in waves.FOR for outcome in outcomes):
        return
    folder = _folder(wish)
    _make(folder)
    new, old = (_FAILED, _GOOD) if against else (_GOOD, _FAILED)
    told = f"{server}: {against[0]['message']}" if against else ""
    (folder / (_digest(server) + new)).write_text(told, encoding="utf-8", errors="backslashreplace")
    (folder / (_digest(server) + old)).unlink(missing_ok=True)


def _folder(wish: Wish) -> Path:
    return _root() / _digest(f"{wish['certificate']}@{wish.get('fingerprint')}")


def _host(server: str) -> Path:
    return _root() / "hosts" / _digest(server)


def _root() -> Path:
    return Path(constants.DEFAULT_LOCAL_TMP) / "notafter-waves"


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
