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

    @cached_property
    def life(self) -> timedelta:
        """The time for which it is valid; never negative, whatever the certificate says."""
        return max(self.not_after - self.not_before, timedelta(0))
