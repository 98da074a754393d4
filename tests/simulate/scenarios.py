"""What is played: a fleet, its CAs, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: A slot carries an order in two minutes on average: waiting for the DNS is the most of it.
ORDERS_PER_SLOT = 30.0
_FEWEST = 10


@dataclass(frozen=True)
class Scenario:
    """Days are counted from the import of the fleet; lives and outages in days."""

    name: str
    tells: str
    certificates: int = 100_000
    days: float = 365
    lives: tuple[tuple[float, float], ...] = ((0, 90),)
    #: The ages at import lie between these shares of the life.
    ages: tuple[float, float] = (0.0, 0.01)
    #: Whether the CA has issued them before, to whatever account.
    known: bool = True
    per_domain: int = 20
    slots: int = 9
    #: How many times longer than in life an order takes: fewer slots than these tell nothing.
    slower: float = 1.0
    outages: tuple[tuple[float, float], ...] = ()
    dns_outages: tuple[tuple[float, float], ...] = ()
    revoked_at: float | None = None
    second_ca: bool = False
    limited: bool = True
    own_faults: float = 0.002
    #: Peak and mean are compared outside of the first hours after a mass revocation.
    peak_per_mean: float | None = 3.0
    may_expire: bool = False

    @property
    def capacity(self) -> float:
        """Orders an hour that the slots carry."""
        return self.slots * ORDERS_PER_SLOT / self.slower

    def small(self, certificates: int) -> Scenario:
        """The same with fewer certificates, and a capacity that is as many times less."""
        wanted = self.slots * certificates / self.certificates
        slots = max(round(wanted), _FEWEST)
        return replace(self, certificates=certificates, slots=slots, slower=slots / wanted)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "year",
            "a fleet that was issued within a day is imported; lives shrink; the CA is down for 3 "
            "and for 14 days, a DNS provider for 2",
            lives=((0, 90), (90, 64), (180, 45)),
            outages=((100, 3), (300, 14)),
            dns_outages=((50, 2),),
        ),
        Scenario(
            "revocation",
            "the CA moves all windows into the past: each certificate is to be replaced within a day",
            days=30,
            lives=((0, 47),),
            ages=(0.0, 0.6),
            slots=200,
            revoked_at=10,
            peak_per_mean=None,
        ),
        Scenario(
            "onboarding",
            "a fleet of another CA: all names are new to this one, whose limits are the narrowest thing",
            days=120,
            ages=(0.0, 0.5),
            known=False,
            peak_per_mean=None,
        ),
        Scenario(
            "crowded",
            "the same with 400 names in each registered domain, of which 50 a week may be new",
            days=120,
            certificates=2_000,
            ages=(0.0, 0.3),
            known=False,
            per_domain=400,
            peak_per_mean=None,
        ),
        Scenario(
            "short",
            "lives of six days, the CA is down for three, and a second CA is there",
            days=24,
            lives=((0, 6),),
            ages=(0.0, 0.45),
            slots=150,
            outages=((14, 3),),
            second_ca=True,
        ),
        Scenario(
            "short-alone",
            "the same without a second CA",
            days=24,
            lives=((0, 6),),
            ages=(0.0, 0.45),
            slots=150,
            outages=((14, 3),),
            may_expire=True,
        ),
    )
}
