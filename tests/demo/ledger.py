"""What the demo has seen so far: every renewal of every certificate, put together from the jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_OPEN = ("waiting", "running")


@dataclass(frozen=True)
class Renewal:
    """One certificate in one job: signed, deployed, verified; or why not."""

    certificate: str
    names: tuple[str, ...]
    servers: tuple[str, ...]
    old: str | None
    new: str | None
    reason: str
    seconds: float
    problem: str | None

    @property
    def good(self) -> bool:
        """Whether it was signed and every place serves it."""
        return self.problem is None


class Ledger:
    """Counts renewals; a cycle is over when every certificate has been through it."""

    def __init__(self, certificates: list[str]) -> None:
        self._good: dict[str, list[Renewal]] = {key: [] for key in certificates}
        self._bad: list[Renewal] = []
        self._seen: set[tuple[int, str]] = set()

    def update(self, jobs: list[dict[str, Any]], certificates: list[dict[str, Any]]) -> list[Renewal]:
        """Takes in what the API says; returns the renewals that are over since the last time."""
        names = {one["key"]: tuple(one["names"]) for one in certificates}
        servers = {place["key"]: place["server"] for one in certificates for place in one["places"]}
        found = []
        for job in sorted(jobs, key=lambda one: one["id"]):
            if job["kind"] != "renew":
                continue
            for item in job["details"]:
                renewal = self._renewal(job, item, names, servers)
                if renewal is not None:
                    found.append(renewal)
        return found

    def _renewal(
        self,
        job: dict[str, Any],
        item: dict[str, Any],
        names: dict[str, tuple[str, ...]],
        servers: dict[str, str],
    ) -> Renewal | None:
        key = item["certificate"]
        if item["subject"] != "certificate" or (job["id"], key) in self._seen:
            return None
        places = [
            one for one in job["details"] if one["subject"] == "deployment" and one["certificate"] == key
        ]
        if any(one["state"] in _OPEN for one in [item, *places]):
            return None
        self._seen.add((job["id"], key))
        failed = [one for one in [item, *places] if one["state"] != "succeeded"]
        renewal = Renewal(
            certificate=key,
            names=names[key],
            servers=tuple(servers[one["deployment"]] for one in places),
            old=item["before_fingerprint"],
            new=item["after_fingerprint"],
            reason=item["due_reason"],
            seconds=sum(one["seconds"] or 0.0 for one in [item, *places]),
            problem=f"{failed[0]['reason']}: {failed[0]['message']}" if failed else None,
        )
        (self._good.setdefault(key, []) if renewal.good else self._bad).append(renewal)
        return renewal

    def complete_cycles(self) -> int:
        """How often every certificate has been renewed."""
        return min((len(renewals) for renewals in self._good.values()), default=0)

    def cycle(self, number: int) -> list[Renewal]:
        """The renewals of one complete cycle, counted from 1."""
        return [renewals[number - 1] for renewals in self._good.values()]

    def renewed(self) -> int:
        """How many renewals went through."""
        return sum(len(renewals) for renewals in self._good.values())

    def failed(self) -> int:
        """How many did not; each was tried again."""
        return len(self._bad)
