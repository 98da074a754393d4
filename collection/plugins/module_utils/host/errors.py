# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong on a host, named after what happened.

HostError
├── Refused      the request or what it carries is not fit; nothing was touched
├── Busy         another run holds the host (or the attempt)
├── Blocked      the host was not fit before we came; nothing was touched
└── Conflict     somebody else changed what we were about to change; it is left as it is
"""

import errno

#: How a file system says that it is full, or that its owner may have no more of it.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


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

    @classmethod
    def by(cls, error: OSError, what: str, otherwise: str = "os_error") -> "Blocked":
        """What the operating system has refused, with the code that belongs to its reason."""
        kind = "not_writable" if error.errno in _NOT_WRITABLE else otherwise
        return cls("no_space" if error.errno in NO_SPACE else kind, "%s: %s" % (what, error))


class Conflict(HostError):
    """Somebody else has changed what we were about to change."""
