"""When a certificate is renewed, and why: the whole policy, as functions of facts and `now`.

    begins                         2/3 of the life        4/5                not_after
    |------------------------------|--------------------|------------------|
              <- spread ->  renewed here                emergency: nothing is waited for

Every moment is a share of the certificate's own life: lives shrink from one renewal to the next. Of one that
we had issued the life begins then, however far its CA has dated it back: else some would be renewed for ever.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from notafter.domain.certificate import RenewalFacts
from notafter.domain.chance import fraction
from notafter.domain.deployment import Decision
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.version import RenewalWindow, Version

#: A life under this is renewed at its half: two failures in a row would cost a third of it.
SHORT_LIFE = timedelta(days=10)
#: How much earlier than needed a renewal may be, so that those of one day do not stay together for ever.
_SPREAD = 0.10
_SPREAD_SHORT = 0.05
#: However often a CA says "at once": a certificate is this old before it is asked for another one.
_YOUNGEST = timedelta(hours=12)
_YOUNGEST_SHARE = 1 / 3


def renew_before(version: Version, wish: timedelta | None) -> timedelta:
    """Return how long before its end a version is renewed, at the latest: a third of its life.

    A wish longer than two thirds of the life would renew for ever: it is cut.
    """
    if wish is None:
        return version.life / 2 if version.life < SHORT_LIFE else version.life / 3
    return min(wish, version.life * 2 / 3)


def emergency_at(version: Version) -> datetime:
    """Return when the last fifth of the life begins: from here on nothing is waited for."""
    return version.not_after - version.life / 5


def spread(version: Version) -> timedelta:
    """Return how much earlier than its neighbours a version is renewed: drawn from its serial number.

    A restart does not move it, and each new version draws anew.
    """
    share = _SPREAD_SHORT if version.life < SHORT_LIFE else _SPREAD
    return version.life * share * fraction("spread", version.serial)


def regular_at(version: Version, wish: timedelta | None = None) -> datetime:
    """Return when a version is renewed if its CA says nothing: never in the last fifth of its life."""
    return min(version.not_after - renew_before(version, wish), emergency_at(version)) - spread(version)


def ari_point(version: Version) -> datetime | None:
    """Return our moment in the CA's window (RFC 9773 §4.2), or none if the window is absurd.

    A hash of the serial draws it: a fleet spreads, and asking again does not move it. A window in the
    past means now; but a CA that says so of each new certificate does not get an order every minute.
    """
    window = version.window
    if window is None or not _sane(window, version):
        return None
    point = window.start + (window.end - window.start) * fraction("ari", version.serial)
    return max(point, version.begins + min(_YOUNGEST, version.life * _YOUNGEST_SHARE))


def hurries(version: Version) -> bool:
    """Tell whether the CA asks for a renewal in the first half of the life: it is about to revoke."""
    return ari_point(version) is not None and _window_end(version) < version.not_after - version.life / 2


def threshold_at(version: Version, wish: timedelta | None = None) -> datetime:
    """Return when a version is renewed whatever else holds.

    Where the CA names a window and nobody has a wish of his own, the window may be later than our
    regular moment, but it does not reach into the last fifth of the life.
    """
    if wish is None and ari_point(version) is not None:
        return emergency_at(version) - spread(version)
    return regular_at(version, wish)


def renew_at(version: Version, wish: timedelta | None = None) -> datetime:
    """Return when a version is to be renewed: at our moment in the CA's window, or at the threshold."""
    point = ari_point(version)
    threshold = threshold_at(version, wish)
    return threshold if point is None else min(point, threshold)


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
    version = facts.version
    moments = [
        renew_at(version, facts.renew_before),
        facts.first_renewal_at,
        facts.wanted_at,
        version.revoked_at,
    ]
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
    if not facts.failures:
        sentence = f"put off by its CA ({facts.last_problem}), tried again at {_at(facts.next_attempt_at)}"
        return _wait(ReasonCode.DEFERRED, sentence, facts.next_attempt_at)
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
    if facts.version is None or point is None or point > now:
        return None
    if hurries(facts.version):
        end = _at(_window_end(facts.version))
        return _due(ReasonCode.CA_HURRIES, f"the CA wants it replaced long before its time, by {end}")
    return _due(ReasonCode.CA_ASKS, f"the CA asks for it; our moment in its window was {_at(point)}")


def _threshold(facts: RenewalFacts, now: datetime) -> Decision | None:
    if facts.version is None:
        return None
    threshold = threshold_at(facts.version, facts.renew_before)
    if threshold > now:
        return None
    return _due(ReasonCode.THRESHOLD, f"its time was {_at(threshold)}: ends {_at(facts.version.not_after)}")


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
    """Refuse a window that ends before it begins, before the certificate does, or after it."""
    return window.start < window.end and version.not_before < window.end <= version.not_after


def _window_end(version: Version) -> datetime:
    return version.window.end if version.window is not None else version.not_after


def _due(code: ReasonCode, sentence: str) -> Decision:
    return Decision(due=True, reason=Reason(code, sentence))


def _wait(code: ReasonCode, sentence: str, at: datetime | None = None) -> Decision:
    return Decision(due=False, reason=Reason(code, sentence), at=at)


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "no time yet"
