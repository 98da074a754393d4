"""How the demo looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from tests.demo.ledger import Renewal


def _short(fingerprint: str | None) -> str:
    return fingerprint[:10] if fingerprint else "-"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return escape(names[0]) + (f" +{len(names) - 1}" if len(names) > 1 else "")


def scan_table(certificates: list[dict[str, Any]]) -> Table:
    """What the scan found."""
    table = Table(title="found")
    for title in ("certificate", "names", "key", "where it serves", "ends"):
        table.add_column(title)
    for one in certificates:
        places = "\n".join(
            escape(f"{place['server']} {place['service']} {place['path']}") for place in one["places"]
        )
        table.add_row(
            one["key"], _names(one["names"]), one["key_type"], places, (one["not_after"] or "-")[11:19]
        )
    return table


def renewal_line(renewal: Renewal) -> str:
    """One renewal, as it ends."""
    mark = "[green]renewed[/green]" if renewal.good else "[red]failed [/red]"
    what = f"{mark} {renewal.certificate:<8}{_names(renewal.names):<24}"
    if not renewal.good:
        return f"{what} {escape(renewal.problem or '')}"
    change = f"{_short(renewal.old)} → {_short(renewal.new)}"
    return f"{what} {', '.join(renewal.servers):<14} {change}  {escape(renewal.reason)}"


def cycle_table(number: int, renewals: list[Renewal]) -> Table:
    """All certificates once more renewed, deployed and verified."""
    table = Table(title=f"cycle {number}")
    for title in ("certificate", "hosts", "old → new", "reason", "seconds"):
        table.add_column(title)
    for renewal in renewals:
        table.add_row(
            f"{renewal.certificate} {_names(renewal.names)}",
            ", ".join(renewal.servers),
            f"{_short(renewal.old)} → {_short(renewal.new)}",
            escape(renewal.reason),
            f"{renewal.seconds:.1f}",
        )
    return table
