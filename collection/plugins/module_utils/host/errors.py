# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong on a host, named after what happened.

HostError
├── Refused      the request or what it carries is not fit; nothing was touched
├── Busy         another run holds the host (or the attempt)
└── Blocked      the host was not fit before we came; nothing was touched
"""


class HostError(Exception):
    """A failure with a short code and a sentence; both travel to the controller."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Refused(HostError):
    """The request, or the bundle in it, is not fit to be used here."""


class Busy(HostError):
    """Somebody else is at work on this host; asking again later is right."""


class Blocked(HostError):
    """The host was not fit before we came, so that nothing was tried."""
