"""When a certificate is renewed, and why: the whole policy, as functions of facts and `now`."""

from collections.abc import Callable
from datetime import datetime, timedelta

from notafter.domain.certificate import RenewalFacts
from notafter.domain.chance import fraction
from notafter.domain.deployment import Decision
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.version import RenewalWindow, Version

#: Unless an operator says otherwise: this long before the end, and at most a third of the life.
RENEW_BEFORE = timedelta(days=15)


def renew_before(version: Version, wish: timedelta | None) -> timedelta:
    """Return how long before its end a version is renewed.

    A wish longer than two thirds of the life would renew for ever: it is cut.
    """
    if wish is None:
        return min(RENEW_BEFORE, version.life / 3)
    return min(wish, version.life * 2 / 3)


def emergency_at(version: Version) -> datetime:
    """Return when the last fifth of the life begins: from here on nothing is waited for."""
    return version.not_after - version.life / 5


def ari_point(version: Version) -> datetime | None:
    """Return our moment in the CA's window (RFC 9773 §4.2), or none if the window is absurd.

    A hash of the serial draws it: a fleet spreads, and asking again does not move it.
    """
    window = version.window
    if window is None or not _sane(window, version):
        return None
    return window.start + (window.end - window.start) * fraction("ari", version.serial)


def renew_at(version: Version, wish: timedelta | None = None) -> datetime:
    """Return when a version is to be renewed: the earliest of all that speak."""
    moments = [version.not_after - renew_before(version, wish), emergency_at(version)]
    point = ari_point(version)
    if point is not None:
        moments.append(point)
    return min(moments)


def first_renewal_at(version: Version, wish: timedelta | None, seed: str, now: datetime) -> datetime | None:
    """Spread the first renewals of a fleet, so that it does not renew as one comb for ever.

    Drawn from the second half of the time that is left; urgent certificates do not wait.
    """
    regular = renew_at(version, wish)
    if regular <= now:
        return None
    return now + (regular - now) * (0.5 + fraction("first", seed) / 2)


def next_renewal(facts: RenewalFacts) -> datetime | None:
    """Return the moment that the store's index is asked for; none while nothing is scheduled."""
    if facts.version is None:
        return facts.wanted_at
    moments = [renew_at(facts.version, facts.renew_before), facts.first_renewal_at, facts.wanted_at]
    return min(moment for moment in moments if moment is not None)


def why_due(facts: RenewalFacts, now: datetime) -> Decision:
    """Say whether a certificate is renewed now, and why: the first check that speaks wins."""
    for check in CHECKS:
        decision = check(facts, now)
        if decision is not None:
            return decision
    at = next_renewal(facts)
    return Decision(due=False, reason=Reason(ReasonCode.NOT_YET, f"renews at {_at(at)}"), at=at)


def _not_adopted(facts: RenewalFacts, _now: datetime) -> Decision | None:
    return None if facts.adopted else _wait(ReasonCode.NOT_ADOPTED, "nobody has adopted it")


def _paused(facts: RenewalFacts, _now: datetime) -> Decision | None:
    return None if facts.auto_renew else _wait(ReasonCode.PAUSED, "its renewal is switched off")


def _in_progress(facts: RenewalFacts, _now: datetime) -> Decision | None:
    return _wait(ReasonCode.IN_PROGRESS, "a job is at it") if facts.in_progress else None


def _backing_off(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.next_attempt_at is None or facts.next_attempt_at <= now:
        return None
    sentence = f"failed {facts.failures} times, tried again at {_at(facts.next_attempt_at)}"
    return _wait(ReasonCode.BACKING_OFF, sentence, facts.next_attempt_at)


def _asked_for(facts: RenewalFacts, _now: datetime) -> Decision | None:
    return _due(ReasonCode.REQUESTED, f"asked for by {facts.wanted_by}") if facts.wanted_at else None


def _no_version(facts: RenewalFacts, _now: datetime) -> Decision | None:
    return _due(ReasonCode.NO_VERSION, "it was never issued") if facts.version is None else None


def _revoked(facts: RenewalFacts, _now: datetime) -> Decision | None:
    if facts.version is None or facts.version.revoked_at is None:
        return None
    return _due(ReasonCode.REVOKED, f"it was revoked at {_at(facts.version.revoked_at)}")


def _expired(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.version is None or facts.version.not_after > now:
        return None
    return _due(ReasonCode.EXPIRED, f"it expired at {_at(facts.version.not_after)}")


def _emergency(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.version is None or emergency_at(facts.version) > now:
        return None
    return _due(ReasonCode.EMERGENCY, f"the last fifth of its life: ends {_at(facts.version.not_after)}")


def _ca_asks(facts: RenewalFacts, now: datetime) -> Decision | None:
    point = ari_point(facts.version) if facts.version else None
    if point is None or point > now:
        return None
    return _due(ReasonCode.CA_ASKS, f"the CA asks for it; our moment in its window was {_at(point)}")


def _threshold(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.version is None:
        return None
    before = renew_before(facts.version, facts.renew_before)
    if facts.version.not_after - before > now:
        return None
    return _due(ReasonCode.THRESHOLD, f"less than {before} left: ends {_at(facts.version.not_after)}")


def _first_renewal(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.first_renewal_at is None or facts.first_renewal_at > now:
        return None
    return _due(ReasonCode.FIRST_RENEWAL, "its first renewal, spread over the fleet, has come")


Check = Callable[[RenewalFacts, datetime], Decision | None]

#: In this order.
CHECKS: tuple[Check, ...] = (
    _not_adopted,
    _in_progress,
    _backing_off,
    _asked_for,
    _paused,
    _no_version,
    _revoked,
    _expired,
    _emergency,
    _ca_asks,
    _threshold,
    _first_renewal,
)


def _sane(window: RenewalWindow, version: Version) -> bool:
    """Refuse a window that ends before it begins, before the certificate, or begins after it."""
    ordered = window.start < window.end
    return ordered and window.end > version.not_before and window.start < version.not_after


def _due(code: ReasonCode, sentence: str) -> Decision:
    return Decision(due=True, reason=Reason(code, sentence))


def _wait(code: ReasonCode, sentence: str, at: datetime | None = None) -> Decision:
    return Decision(due=False, reason=Reason(code, sentence), at=at)


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "no time yet"
