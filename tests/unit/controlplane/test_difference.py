"""Disk, handshakes and the newest version: the cause of each difference, and what to do."""

from dataclasses import replace
from typing import Any

import pytest
from notafter.domain.difference import Cause, Neighbour, Sight, View, difference, own_sights

from tests.factories import NOW

NEW, OLD, OLDER, ALIEN = "ab" * 32, "cd" * 32, "ef" * 32, "12" * 32


def sight(fingerprint: str | None, **more: Any) -> Sight:
    return Sight("*:443", "shop.example", fingerprint, **more)


VIEW = View(
    service="nginx",
    file="/etc/ssl/shop.pem",
    disk=NEW,
    names=("shop.example",),
    inside=(sight(NEW),),
    outside=(sight(NEW),),
    issued=NEW,
    former=frozenset({OLD, OLDER}),
)


@pytest.mark.parametrize(
    ("change", "cause", "told"),
    [
        ({}, Cause.IN_SYNC, "what lies on the disk"),
        ({"inside": (), "outside": ()}, Cause.IN_SYNC, "what lies on the disk"),
        ({"absent": True}, Cause.ABSENT, "did not find"),
        ({"disk": None}, Cause.UNKNOWN, "scan the server"),
        ({"disk": OLD}, Cause.BEHIND, "the next deploy"),
        ({"disk": ALIEN}, Cause.OVERWRITTEN, "somebody has put"),
        ({"disk": ALIEN, "inside": (sight(ALIEN),), "outside": (), "issued": None}, Cause.IN_SYNC, ""),
        ({"inside": (sight(OLD),)}, Cause.NOT_RELOADED, "reload nginx"),
        ({"inside": (sight(NEW), sight(OLD))}, Cause.NOT_RELOADED, "reload nginx"),
        ({"inside": (sight(ALIEN, names=("shop.example",)),)}, Cause.NOT_RELOADED, "reload nginx"),
        ({"inside": (sight(ALIEN, names=("*.example",)),)}, Cause.NOT_RELOADED, "reload nginx"),
        ({"inside": (sight(ALIEN, names=("blog.test",)),)}, Cause.SERVED_BY_ANOTHER, "blog.test"),
        ({"inside": (sight(OLD, by="caddy"),)}, Cause.SERVED_BY_ANOTHER, "caddy answers"),
        ({"inside": (sight(None, error="Connection refused"),)}, Cause.NOT_SERVED, "refused"),
        ({"inside": (sight(None),), "running": False}, Cause.NOT_SERVED, "does not run"),
        ({"inside": (sight(None, by="sshd"),)}, Cause.NOT_SERVED, "sshd listens"),
        ({"outside": (sight(ALIEN),)}, Cause.DIFFERS_OUTSIDE, "a load balancer"),
        ({"outside": (sight(None, error="no answer in time"),)}, Cause.IN_SYNC, ""),
    ],
)
def test_the_first_check_that_speaks_gives_the_cause(change: dict[str, Any], cause: Cause, told: str) -> None:
    found = difference(replace(VIEW, **change))
    assert (found.cause, told in found.sentence) == (cause, True), found.sentence


def test_another_place_of_the_server_that_is_meant_to_be_shown_there_is_named() -> None:
    blog = Neighbour(ALIEN, ("*:443",), (), "nginx (/etc/nginx/default:9)")
    seen = (sight(ALIEN, names=("shop.example",)),)
    found = difference(replace(VIEW, inside=seen, neighbours=(blog,)))
    assert found.cause is Cause.SERVED_BY_ANOTHER
    assert "/etc/nginx/default:9" in found.sentence
    pair = difference(replace(VIEW, inside=seen, neighbours=(replace(blog, names=VIEW.names),)))
    assert (pair.cause, "ciphers" in pair.sentence) == (Cause.NOT_SERVED, True)
    for elsewhere in (replace(blog, listeners=("*:8443",)), replace(blog, names=("blog.example",))):
        assert difference(replace(VIEW, inside=seen, neighbours=(elsewhere,))).cause is Cause.NOT_RELOADED


def test_a_name_that_a_place_lost_to_another_is_not_its_business() -> None:
    seen = (sight(NEW), replace(sight(ALIEN), name="lost.example"), replace(sight(ALIEN), name=None))
    assert own_sights(seen, ("shop.example",)) == (sight(NEW),)
    assert [one.name for one in own_sights(seen, ())] == [None]
    wild = replace(sight(NEW), name="notafter-probe.apps.example", not_after=NOW)
    assert own_sights((wild,), ("*.apps.example",)) == (wild,)
