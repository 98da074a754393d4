# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run by hand renews. The control plane has its own, richer policy; both start from the same rule."""

from __future__ import annotations

import datetime
import typing as t

from . import clock

#: A life under this is renewed at its half.
SHORT_LIFE = datetime.timedelta(days=10)


def why_due(current: dict[str, t.Any] | None, wish: dict[str, t.Any], now: datetime.datetime) -> str | None:
    """The reason for a new certificate, in words; None when the present one will do.

    It is renewed when a third of its life is left, of a life under 10 days the half, unless
    `renew_before` (seconds) says otherwise: at most two thirds, else it would be renewed by each run.
    """
    if current is None:
        return "there is none yet"
    if current.get("error"):
        return f"the present one cannot be read: {current['error']}"
    if set(current["names"]) != set(wish["names"]):
        return "the names have changed"
    if current["key_type"] != wish["key_type"]:
        return f"the key type has changed from {current['key_type']} to {wish['key_type']}"
    not_before, not_after = clock.parse(current["not_before"]), clock.parse(current["not_after"])
    life = not_after - not_before
    notice = life / 2 if life < SHORT_LIFE else life / 3
    if wish.get("renew_before") is not None:
        notice = min(datetime.timedelta(seconds=int(wish["renew_before"])), life * 2 / 3)
    if now >= not_after - notice:
        return f"it ends at {current['not_after']}"
    return None


def why_not(current: dict[str, t.Any] | None) -> str:
    """Why nothing is done now."""
    return f"valid until {current['not_after']}" if current else "there is none"
