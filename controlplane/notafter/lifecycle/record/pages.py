"""A large scan comes in pages: which have arrived, and what they have named.

Pages may come in any order, twice, in several requests, or not at all. What one says is put on
record at once; what none has named is gone only when all are there. This stands in the server's
row, so that nothing has to be kept in memory meanwhile.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from notafter.domain.outcome import Page, Scanned
from notafter.store.tables import ServerRow

_NAMED = 10


@dataclass
class Arrivals:
    """The pages of one scan that are on record, and the places that they have named."""

    page: Page
    arrived: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    partial: bool = False

    @classmethod
    def of(cls, row: ServerRow, outcome: Scanned) -> Self:
        """Return what has arrived of the scan that an outcome is of; a scan in one piece is one page."""
        page = outcome.page or Page("", 1, 1)
        kept = row.scan_pages
        if outcome.page is None or (kept.get("scan"), kept.get("of")) != (page.scan, page.of):
            return cls(page)
        return cls(page, set(kept["arrived"]), set(kept["named"]), bool(kept["partial"]))

    @property
    def known(self) -> bool:
        """Tell whether this page is on record."""
        return self.page.number in self.arrived

    @property
    def begun(self) -> bool:
        """Tell whether another page of this scan is on record."""
        return bool(self.arrived - {self.page.number})

    @property
    def whole(self) -> bool:
        """Tell whether nothing is still to come."""
        return len(self.arrived) == self.page.of

    def take(self, *, partial: bool) -> None:
        """Note that this page is on record."""
        self.arrived.add(self.page.number)
        self.partial = self.partial or partial

    def kept(self) -> dict[str, Any]:
        """Return what a server's row keeps; of a whole scan that is little."""
        if self.page.of == 1:
            return {}
        return {
            "scan": self.page.scan,
            "of": self.page.of,
            "arrived": sorted(self.arrived),
            "named": [] if self.whole else sorted(self.named),
            "partial": self.partial,
        }


def missing(row: ServerRow, since: datetime | None = None) -> str | None:
    """Say which pages of a server's last scan did not arrive, if it had pages and was not before a time."""
    kept = row.scan_pages
    lost = sorted(set(range(1, kept.get("of", 0) + 1)) - set(kept.get("arrived", ())))
    if not lost or (since is not None and (row.last_scan_at is None or row.last_scan_at < since)):
        return None
    told = ", ".join(map(str, lost[:_NAMED])) + (
        f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    )
    return (
        f"of the {kept['of']} pages of the scan {told} did not arrive: what the others say is on record,"
        " and nothing is taken for gone"
    )
