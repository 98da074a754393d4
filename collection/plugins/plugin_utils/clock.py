# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's clock: the one that judges validity, whatever a host believes the time to be."""

from __future__ import annotations

import datetime


def now() -> datetime.datetime:
    """The time now, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)  # noqa: TID251, UP017 - the edge; Python 3.10 too


def parse(text: str) -> datetime.datetime:
    """A time of our results (ISO 8601, UTC, `Z`) as a datetime."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: FURB162 - Python 3.10 has no Z
