"""What lies on the disk, what is served, what was last issued: where the three differ, and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from notafter.domain.names import covers

#: What is asked for where a place serves every name below one (the contract of deployments).
_PROBE_LABEL = "notafter-probe"


class Cause(StrEnum):
    """Why what is served is not what should be, or that it is."""

    #: Nobody has looked at the place yet.
    UNKNOWN = "unknown"
    #: The last scan no longer found the place.
    ABSENT = "absent"
    #: The file, the handshakes and the newest version agree, as far as each is known.
    IN_SYNC = "in_sync"
    #: The file has an older version of ours.
    BEHIND = "behind"
    #: The file has a certificate that is not ours.
    OVERWRITTEN = "overwritten"
    #: The file is right; the server still shows what it loaded before.
    NOT_RELOADED = "not_reloaded"
    #: Something else answers there.
    SERVED_BY_ANOTHER = "served_by_another"
    #: No handshake succeeds on the host itself.
    NOT_SERVED = "not_served"
    #: On the host all is well; from outside another certificate is seen.
    DIFFERS_OUTSIDE = "differs_outside"


@dataclass(frozen=True)
class Sight:
    """What one handshake showed; `by` is a process that is not this kind of server."""

    listener: str
    name: str | None
    fingerprint: str | None
    error: str | None = None
    by: str | None = None
    names: tuple[str, ...] = ()
    not_after: datetime | None = None

    @property
    def where(self) -> str:
        """Where was asked, in words."""
        return f"{self.listener} for {self.name or 'no name'}"


@dataclass(frozen=True)
class Neighbour:
    """Another place of the same server, which may be the one that answers."""

    fingerprint: str | None
    listeners: tuple[str, ...]
    names: tuple[str, ...]
    place: str

    def answers(self, sight: Sight) -> bool:
        """Tell whether this place is meant to be shown where something was seen."""
        if sight.fingerprint != self.fingerprint or sight.listener not in self.listeners:
            return False
        return not self.names or sight.name in {asked(name) for name in self.names}


@dataclass(frozen=True)
class View:
    """All that is known of what one place shows."""

    service: str
    file: str
    disk: str | None
    names: tuple[str, ...] = ()
    inside: tuple[Sight, ...] = ()
    outside: tuple[Sight, ...] = ()
    #: The newest version of ours; none where nobody has adopted the place.
    issued: str | None = None
    former: frozenset[str] = frozenset()
    neighbours: tuple[Neighbour, ...] = field(default=(), repr=False)
    running: bool = True
    absent: bool = False


@dataclass(frozen=True)
class Difference:
    """The cause, a sentence that says what to do, and what is shown instead."""

    cause: Cause
    sentence: str
    sight: Sight | None = None


def difference(view: View) -> Difference:
    """Say where disk, handshakes and the newest version differ: the first check that speaks wins."""
    for check in CHECKS:
        found = check(view)
        if found is not None:
            return found
    return Difference(Cause.IN_SYNC, "what is served is what lies on the disk")


def asked(name: str) -> str:
    """Return the name that a handshake asks for: `*.x` as one below x."""
    if name.startswith("*."):
        return _PROBE_LABEL + name[1:]
    return name.removeprefix(".")


def _absent(view: View) -> Difference | None:
    if not view.absent:
        return None
    told = (
        f"the last scan did not find {view.file} in {view.service} any more: if it is gone for good, let go"
    )
    return Difference(Cause.ABSENT, told)


def _unknown(view: View) -> Difference | None:
    if view.disk is not None:
        return None
    return Difference(Cause.UNKNOWN, "nobody has read the file yet: scan the server")


def _disk(view: View) -> Difference | None:
    """Hold the file against what we have issued."""
    if view.issued is None or view.disk is None or view.disk == view.issued:
        return None
    shown, wanted = view.disk[:16], view.issued[:16]
    if view.disk in view.former:
        told = f"{view.file} has our older {shown}, the newest is {wanted}: the next deploy brings it there"
        return Difference(Cause.BEHIND, told)
    told = (
        f"somebody has put {shown} into {view.file}, which is not ours; the next deploy puts {wanted} back:"
        " find out who writes there, or stop the renewal here"
    )
    return Difference(Cause.OVERWRITTEN, told)


def _inside(view: View) -> Difference | None:
    """Hold what the host's own listeners show against the file."""
    for sight in view.inside:
        if sight.fingerprint not in {None, view.disk}:
            return _wrong(view, sight)
    return next((_silent(view, sight) for sight in view.inside if sight.fingerprint is None), None)


def _wrong(view: View, sight: Sight) -> Difference:
    shown, mine = (sight.fingerprint or "")[:16], (view.disk or "")[:16]
    other = next((one for one in view.neighbours if one.answers(sight)), None)
    if sight.by is not None:
        told = f"at {sight.where} {sight.by} answers with {shown}, not {view.service}: stop one of the two"
    elif other is not None and set(other.names) == set(view.names):
        told = f"at {sight.where} all clients get the certificate of {other.place}: look at the ciphers"
        return Difference(Cause.NOT_SERVED, told, sight)
    elif other is not None:
        told = f"at {sight.where} the certificate of {other.place} is shown: give one of the two other names"
    elif not _may_be_former(view, sight):
        named = ", ".join(sight.names[:3])
        told = f"at {sight.where} a certificate for {named} is shown, from none of its files: see who answers"
    else:
        told = f"at {sight.where} {shown} is still shown, the file has {mine}: reload {view.service}"
        return Difference(Cause.NOT_RELOADED, told, sight)
    return Difference(Cause.SERVED_BY_ANOTHER, told, sight)


def _may_be_former(view: View, sight: Sight) -> bool:
    """Tell whether what is shown may have been in this place's file before."""
    if sight.fingerprint in view.former or not sight.names:
        return True
    return any(
        covers(pattern, asked(name)) for pattern in sight.names for name in (sight.name, *view.names) if name
    )


def _silent(view: View, sight: Sight) -> Difference:
    if not view.running:
        told = (
            f"nothing answers at {sight.where}, because {view.service} does not run: start it, if it should"
        )
    elif sight.by is not None:
        told = (
            f"at {sight.where} {sight.by} listens and speaks no TLS, not {view.service}: stop one of the two"
        )
    else:
        error = sight.error or "no answer"
        told = (
            f"at {sight.where} no handshake succeeds ({error}): read the log of {view.service}, and reload it"
        )
    return Difference(Cause.NOT_SERVED, told, sight)


def _outside(view: View) -> Difference | None:
    """Hold what is seen from outside against the host's own view; who is silent says nothing."""
    for sight in view.outside:
        if sight.fingerprint not in {None, view.disk}:
            shown = (sight.fingerprint or "")[:16]
            told = (
                f"on the host all is well, but from outside {sight.where} shows {shown}: a proxy, a load"
                " balancer or another host answers there and needs the certificate too"
            )
            return Difference(Cause.DIFFERS_OUTSIDE, told, sight)
    return None


Check = Callable[[View], Difference | None]

#: In this order.
CHECKS: tuple[Check, ...] = (_absent, _unknown, _disk, _inside, _outside)


def own_sights(sights: Iterable[Sight], names: tuple[str, ...]) -> tuple[Sight, ...]:
    """Return what was seen for these names: those that a place lost to others are not its business."""
    wanted = {asked(name) for name in names} if names else {None}
    return tuple(sight for sight in sights if sight.name in wanted)
