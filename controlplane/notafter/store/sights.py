"""Sights as they stand in a row: what handshakes showed at one place."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from notafter.domain.difference import Sight

_MOST = 200


def rows(sights: Iterable[Sight]) -> list[dict[str, Any]]:
    """Return sights as a row keeps them."""
    return [
        {
            "listener": one.listener,
            "name": one.name,
            "fingerprint": one.fingerprint,
            "error": one.error,
            "by": one.by,
            "names": list(one.names),
            "not_after": one.not_after.isoformat() if one.not_after else None,
        }
        for one in list(sights)[:_MOST]
    ]


def of(kept: Iterable[dict[str, Any]]) -> tuple[Sight, ...]:
    """Return the sights that a row keeps."""
    return tuple(
        Sight(
            listener=one["listener"],
            name=one["name"],
            fingerprint=one["fingerprint"],
            error=one["error"],
            by=one["by"],
            names=tuple(one["names"]),
            not_after=datetime.fromisoformat(one["not_after"]) if one["not_after"] else None,
        )
        for one in kept
    )
