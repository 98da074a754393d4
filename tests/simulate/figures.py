"""What a simulation shows: figures as a table, and a page with a plot."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulate.fleet import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.simulate.authority import Authority
    from tests.simulate.fleet import Certificate
    from tests.simulate.scenarios import Scenario

HOUR = timedelta(hours=1)
#: Fewer orders than this in a span say more about chance than about the policy.
_TELLING = 100


@dataclass
class Figures:
    """What is counted while a scenario is played."""

    scenario: Scenario
    issued: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    #: Certificates that ended before the next one served, by whether the fault was their own.
    expired: int = 0
    expired_by_own_fault: int = 0
    revoked_at: datetime | None = None
    authorities: Mapping[str, Authority] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.orders = array("l", [0] * (int(self.scenario.days * 24) + 1))
        self.waits = array("d")
        self.dangers = array("d")
        self.revocation = array("d")
        self.revocation_by_own_fault = array("d")

    def ordered(self, now: datetime, due_since: datetime, *, refused: bool) -> None:
        """An order went out."""
        self.orders[int((now - START) / HOUR)] += 1
        if not refused:
            self.waits.append((now - due_since) / HOUR)

    def replaced(self, one: Certificate, emergency: datetime, now: datetime) -> None:
        """A new certificate serves; what served until now may have ended before."""
        self.dangers.append(max((now - emergency) / HOUR, 0.0))
        if one.served.not_after <= now:
            self._expired(one)
        if one.revoked_at is not None:
            hours = (now - one.revoked_at) / HOUR
            (self.revocation_by_own_fault if one.fault else self.revocation).append(hours)

    def close(
        self, fleet: Iterable[Certificate], authorities: Mapping[str, Authority], end: datetime
    ) -> None:
        """Count what is still as it was."""
        self.authorities = authorities
        for one in fleet:
            if one.served.not_after <= end:
                self._expired(one)
            if one.revoked_at is not None:
                hours = (end - one.revoked_at) / HOUR
                (self.revocation_by_own_fault if one.fault else self.revocation).append(hours)

    def _expired(self, one: Certificate) -> None:
        if one.fault:
            self.expired_by_own_fault += 1
        else:
            self.expired += 1

    # What it amounts to

    @property
    def span(self) -> int:
        """The hours that peak and mean are counted over: one, more for a fleet of few orders."""
        return max(1, round(_TELLING / max(self.mean, 0.01)))

    @property
    def mean(self) -> float:
        """Orders an hour."""
        return sum(self.orders) / (self.scenario.days * 24)

    @property
    def peak(self) -> float:
        """Orders an hour, in the fullest span."""
        spans = [sum(self.orders[at : at + self.span]) for at in range(0, len(self.orders), self.span)]
        return max(spans) / self.span

    @property
    def refused(self) -> int:
        """Orders for which a CA had to say that its limit is reached."""
        return sum(authority.refused for authority in self.authorities.values())

    def rows(self) -> list[tuple[str, str]]:
        """The figures, each with its name."""
        names = self.authorities.values()
        rows = [
            ("certificates, days", f"{self.scenario.certificates:,} for {self.scenario.days:g} days"),
            ("stated capacity", f"{self.scenario.capacity:,.0f} orders an hour"),
            ("orders, certificates issued", f"{sum(self.orders):,}, {self.issued:,}"),
            ("orders an hour, mean", f"{self.mean:,.1f}"),
            (
                "orders an hour, peak",
                f"{self.peak:,.0f} (of {self.span} h), {self.peak / self.mean:.2f} times the mean",
            ),
            ("orders refused for a limit", f"{self.refused:,}"),
            ("orders that met an outage of the CA", f"{sum(one.unanswered for one in names):,}"),
            ("failures", _counts(self.failed)),
            ("times that one was left waiting", _counts(self.left)),
            ("hours from due to ordered", _quantiles(self.waits)),
            ("hours in the last fifth of the life", _quantiles(self.dangers)),
            ("expired while serving", f"{self.expired:,}"),
            ("expired by a fault of their own", f"{self.expired_by_own_fault:,}"),
        ]
        if len(self.authorities) > 1:
            asked = ", ".join(f"{name} {one.asked:,}" for name, one in self.authorities.items())
            rows.append(("orders by account", asked))
        if self.revoked_at is not None:
            rows.append(("hours until replaced after the revocation", _quantiles(self.revocation)))
            if self.revocation_by_own_fault:
                own = _quantiles(self.revocation_by_own_fault)
                rows.append(("the same, those with a fault of their own", own))
        return rows

    def wrong(self) -> list[str]:
        """What does not hold that the policy promises."""
        found = []
        if self.refused:
            found.append(f"{self.refused} orders went beyond a limit of the CA")
        if self.expired and not self.scenario.may_expire:
            found.append(f"{self.expired} certificates without a fault of their own expired")
        most = self.scenario.peak_per_mean
        if most is not None and self.peak / self.mean > most:
            found.append(f"the peak is {self.peak / self.mean:.2f} times the mean, not {most:g}")
        if self.revoked_at is not None and max(self.revocation) > 24:
            found.append(f"the last one was replaced {max(self.revocation):.1f} h after the revocation")
        return found


def table(figures: Figures) -> str:
    """The figures for a terminal."""
    rows = figures.rows()
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {value}" for name, value in rows)


def page(many: Iterable[Figures], seed: str, path: Path) -> None:
    """Write all of it as one page: tables, and for each scenario the orders of each hour as a line."""
    parts = [_HEAD, f"<h1>Simulation</h1><p>seed {seed}</p>"]
    for figures in many:
        rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in figures.rows())
        parts += [f"<h2>{figures.scenario.name}</h2><p>{figures.scenario.tells}</p>", plot(figures)]
        parts.append(f"<table>{rows}</table>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")


def plot(figures: Figures) -> str:
    """Orders an hour over the days, with the mean, the capacity and the outages of the CA."""
    top = max(figures.peak, figures.scenario.capacity) * 1.05
    return (
        f'<svg viewBox="0 -16 {_WIDTH} {_HEIGHT + 34}" role="img" aria-label="orders an hour">'
        f'{_outages(figures.scenario)}<polyline points="{_points(figures, top)}"/>'
        f"{_rule('mean', figures.mean, top)}{_rule('capacity', figures.scenario.capacity, top)}"
        f'<text x="{_WIDTH - 60}" y="{_HEIGHT + 15}">day {figures.scenario.days:g}</text></svg>'
    )


def _points(figures: Figures, top: float) -> str:
    """The fullest hour of each point of the line."""
    hours = len(figures.orders)
    step = max(1, hours // _WIDTH)
    spans = [max(figures.orders[at : at + step]) for at in range(0, hours, step)]
    return " ".join(
        f"{number * step / hours * _WIDTH:.1f},{_height(count, top):.1f}"
        for number, count in enumerate(spans)
    )


def _outages(scenario: Scenario) -> str:
    day = _WIDTH / scenario.days
    return "".join(
        f'<rect x="{begin * day:.1f}" y="0" width="{long * day:.1f}" height="{_HEIGHT}" class="out"/>'
        for begin, long in scenario.outages
    )


def _rule(name: str, value: float, top: float) -> str:
    at = _height(value, top)
    line = f'<line x1="0" x2="{_WIDTH}" y1="{at:.1f}" y2="{at:.1f}" class="rule"/>'
    return f'{line}<text x="4" y="{at - 4:.1f}">{name} {value:,.0f}/h</text>'


def _height(value: float, top: float) -> float:
    return _HEIGHT - value / top * _HEIGHT


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "none"


def _quantiles(values: array[float]) -> str:
    if not values:
        return "none"
    ranked = sorted(values)
    at = {name: ranked[min(int(len(ranked) * share), len(ranked) - 1)] for name, share in _SHARES}
    return ", ".join(f"{name} {value:.2f}" for name, value in at.items())


_WIDTH, _HEIGHT = 960, 260
_SHARES = (("p50", 0.5), ("p99", 0.99), ("most", 1.0))
_HEAD = """<!doctype html><meta charset="utf-8"><title>Simulation</title><style>
body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
th{text-align:left;font-weight:normal;padding-right:2rem}svg{width:100%;background:#f6f6f4}
polyline{fill:none;stroke:#14532d;stroke-width:1}.rule{stroke:#999;stroke-dasharray:4}.out{fill:#fca5a5;opacity:.5}
text{font-size:11px;fill:#444}</style>"""
