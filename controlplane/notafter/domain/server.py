"""A server: a host of the operator's inventory that serves TLS."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from notafter.domain.chance import fraction

_SLOTS = 24
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Presence(StrEnum):
    """Whether a server was seen lately; derived, never stored."""

    UNSEEN = "unseen"
    ONLINE = "online"
    OFFLINE = "offline"


def is_everywhere(name: str) -> bool:
    """Tell whether every machine calls itself so: such a name says nothing about which one it is."""
    return name in {"localhost", "ip6-localhost", "localhost.localdomain"} or name.startswith("127.")


def presence(last_seen_at: datetime | None, last_missed_at: datetime | None) -> Presence:
    """Tell whether the last thing we know about a server is that it answered."""
    if last_seen_at is None:
        return Presence.UNSEEN if last_missed_at is None else Presence.OFFLINE
    if last_missed_at is not None and last_missed_at > last_seen_at:
        return Presence.OFFLINE
    return Presence.ONLINE


def next_scan(name: str, last_scan_at: datetime, interval: timedelta) -> datetime:
    """Return when a server is looked at again: each at a time of its own, so that a fleet spreads.

    The times of all servers fall into a few slots, so that those of one slot go in one job. After a look
    that came in between, the next one is half an interval away or more.
    """
    slot = int(fraction("scan", name) * _SLOTS) * (interval / _SLOTS)
    turns = (last_scan_at - _EPOCH - slot) // interval + 1
    again = _EPOCH + slot + turns * interval
    return again if again - last_scan_at >= interval / 2 else again + interval
