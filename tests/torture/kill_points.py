"""Every round with a kill at a known point: made from the markers in the code and the steps of ACME."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from tests.lab.proxy import Step
from tests.torture import markers
from tests.torture.lane import FLEET, ISSUER
from tests.torture.markers import Stage
from tests.torture.rounds import ALL, HOSTS, AnsibleDiesAtPlane, AtCa, AtHosts, PlaneDies, RunDies, Victim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.markers import Marker
    from tests.torture.rounds import Round

STEPS = (Step.NEW_ORDER, Step.AUTHORIZATION, Step.CHALLENGE, Step.FINALIZE, Step.ORDER, Step.CERTIFICATE)
#: Markers of the control plane that are passed while Ansible runs.
WHILE_IT_RUNS = ("record.", "issue.", "log.", "handout.")
#: What is passed once for the signing and once for the deploy.
TWICE = ("record.", "log.")
#: What is passed only where several files are exchanged at once.
OF_SEVERAL = ("linked",)
#: What no renewal of a control plane passes that goes well: tests of `tests/` kill there.
BY_HAND = (Stage.ELSEWHERE, Stage.RESTORE)


def rounds() -> list[Round]:
    """All of them."""
    return [*_plane(), *_runs(), *_servers(), *_issuer(), *_ca()]


def points() -> set[str]:
    """The points of these rounds, whoever is killed there."""
    steps = {f"{when} {step}" for step in STEPS for when in ("before", "after")}
    return {marker.name for marker in markers.markers() if marker.stage not in BY_HAND} | steps


def _plane() -> Iterator[Round]:
    for marker in markers.of(Stage.PLANE, Stage.RECOVERY, Stage.DUE):
        yield PlaneDies(marker)
        if marker.name.startswith(TWICE):
            yield PlaneDies(marker, turn=2)


def _runs() -> Iterator[Round]:
    yield from (RunDies(marker) for marker in markers.of(Stage.RUN))
    for marker in markers.of(Stage.PLANE):
        if marker.name.startswith(WHILE_IT_RUNS):
            yield AnsibleDiesAtPlane(marker)


def _servers() -> Iterator[Round]:
    """The host programs of three servers die at once, each at another point; then others while they wait."""
    by_host = {HOSTS[key]: numbered(markers.of(Stage.DEPLOY), key) for key in ALL}
    most = max(map(len, by_host.values()))
    turned = {host: _turned(found, number) for number, (host, found) in enumerate(by_host.items())}
    for number in range(most):
        yield AtHosts(
            Victim.HOST, tuple((host, found[number % len(found)]) for host, found in turned.items())
        )
    longest = max(by_host.values(), key=len)
    for victim in (Victim.PLANE, Victim.ANSIBLE):
        for start in range(0, len(longest), len(HOSTS)):
            yield AtHosts(victim, tuple(_fitting(by_host, longest[start : start + len(HOSTS)])))


def _fitting(by_host: dict[str, list[str]], wanted: list[str]) -> Iterator[tuple[str, str]]:
    """A host for each point; a file that a host does not have stands for its first."""
    for (host, found), point in zip(by_host.items(), wanted, strict=False):
        first = f"{point.rpartition('-')[0]}-0"
        yield host, next((known for known in (point, first) if known in found), found[0])


def _issuer() -> Iterator[Round]:
    for marker in markers.of(Stage.SIGN):
        yield from (AtHosts(victim, ((ISSUER, marker.name),)) for victim in Victim)


def _ca() -> Iterator[Round]:
    for step in STEPS:
        yield from (AtCa(victim, step, done) for victim in Victim for done in (False, True))


def numbered(found: list[Marker], key: str) -> list[str]:
    """The points of a site's deploy: one for each of its files where a marker counts them."""
    # The chain stays what it was: the CA signs by the same intermediate.
    files = sum(file.kind != "chain" for file in next(one for one in FLEET.sites if one.key == key).files)
    return [
        marker.name.replace("%d", str(number))
        for marker in found
        for number in range(files if "%d" in marker.name else 1)
        if files > 1 or marker.name not in OF_SEVERAL
    ]


def _turned(found: list[str], number: int) -> list[str]:
    """Begun elsewhere, so that three hosts are at different points."""
    start = number * len(found) // len(HOSTS)
    return list(islice(cycle(found), start, start + len(found)))
