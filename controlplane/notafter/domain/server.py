"""A server: a host of the operator's inventory that serves TLS."""

from datetime import datetime, timedelta
from enum import StrEnum


class Presence(StrEnum):
    """Whether a server was seen lately; derived, never stored."""

    UNSEEN = "unseen"
    ONLINE = "online"
    OFFLINE = "offline"


def presence(last_seen_at: datetime | None, last_missed_at: datetime | None) -> Presence:
    """Tell whether the last thing we know about a server is that it answered."""
    if last_seen_at is None:
        return Presence.UNSEEN if last_missed_at is None else Presence.OFFLINE
    if last_missed_at is not None and last_missed_at > last_seen_at:
        return Presence.OFFLINE
    return Presence.ONLINE


def scan_due(
    last_scan_at: datetime | None,
    wanted_at: datetime | None,
    interval: timedelta | None,
    now: datetime,
) -> bool:
    """Tell whether a server is to be looked at again."""
    if wanted_at is not None and wanted_at <= now:
        return True
    if interval is None or last_scan_at is None:
        return False
    return last_scan_at + interval <= now
