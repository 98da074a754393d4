"""A version: one certificate that was issued for a wish, or found on a server."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property


class Origin(StrEnum):
    """Where a version came from."""

    ISSUED = "issued"
    SCANNED = "scanned"
    UPLOADED = "uploaded"


@dataclass(frozen=True)
class RenewalWindow:
    """When the CA would like a certificate to be renewed (RFC 9773 §4.2)."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Version:
    """The facts of one certificate that the rules look at."""

    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    has_key: bool
    window: RenewalWindow | None = None
    revoked_at: datetime | None = None
    #: When it came to us from its CA; none of one that was found on a server.
    issued_at: datetime | None = None

    @cached_property
    def begins(self) -> datetime:
        """From when on it can serve: a CA may date it back, by more than it is valid for."""
        return max(self.not_before, self.issued_at or self.not_before)

    @cached_property
    def life(self) -> timedelta:
        """The time for which it can serve; never negative, whatever the certificate says."""
        return max(self.not_after - self.begins, timedelta(0))
