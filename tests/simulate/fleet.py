"""The certificates of a simulation, and what is wrong with some of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from notafter.domain.certificate import RenewalFacts
from notafter.domain.renewal import first_renewal_at

if TYPE_CHECKING:
    from random import Random

    from notafter.domain.version import Version

    from tests.simulate.authority import Authority
    from tests.simulate.scenarios import Scenario

START = datetime(2027, 1, 1, tzinfo=UTC)
PROVIDERS = 5


@dataclass(slots=True)
class Certificate:
    """One certificate with its host."""

    number: int
    names: tuple[str, ...]
    version: Version
    served: Version
    #: The CA account that issued the version; none for what was found.
    account: str | None
    first_renewal_at: datetime | None
    fault: tuple[datetime, datetime] | None
    at_host: bool
    failures: int = 0
    next_attempt_at: datetime | None = None
    deploy_failures: int = 0
    due_since: datetime | None = None
    wake_at: datetime | None = None
    in_progress: bool = False
    parked: bool = False
    revoked_at: datetime | None = None

    @property
    def key(self) -> str:
        """Its name in reasons."""
        return f"crt-{self.number}"

    @property
    def provider(self) -> str:
        """Who has its DNS."""
        return f"dns-{self.number % PROVIDERS}"

    def __lt__(self, other: Certificate) -> bool:
        """Heaps want an order where two are as pressing."""
        return self.number < other.number

    def broken(self, now: datetime) -> bool:
        """Tell whether its own fault lasts."""
        return self.fault is not None and self.fault[0] <= now < self.fault[1]

    def facts(self) -> RenewalFacts:
        """What the policy looks at."""
        return RenewalFacts(
            id=self.number,
            adopted=True,
            auto_renew=True,
            in_progress=self.in_progress,
            version=self.version,
            first_renewal_at=self.first_renewal_at,
            next_attempt_at=self.next_attempt_at,
            failures=self.failures,
        )


def imported(scenario: Scenario, authority: Authority, random: Random) -> list[Certificate]:
    """The fleet on the day on which it is adopted; its first renewals are spread by the policy."""
    return [_certificate(number, scenario, authority, random) for number in range(scenario.certificates)]


def _certificate(number: int, scenario: Scenario, authority: Authority, random: Random) -> Certificate:
    names = (f"www{number}.d{number // scenario.per_domain}.example",)
    life = timedelta(days=scenario.lives[0][1])
    version = authority.version(START - life * random.uniform(*scenario.ages), life)
    if scenario.known:
        authority.known_sets.add(names)
    first = first_renewal_at(version, None, f"crt-{number}", START)
    fault = _fault(scenario, random) if random.random() < scenario.own_faults else None
    at_host = random.random() < 0.5
    return Certificate(number, names, version, version, None, first, fault, at_host)


def _fault(scenario: Scenario, random: Random) -> tuple[datetime, datetime]:
    """A fault of its own: its zone or its host is broken for some days."""
    begins = START + timedelta(days=random.uniform(0, scenario.days))
    return begins, begins + timedelta(days=random.uniform(1, 30))
