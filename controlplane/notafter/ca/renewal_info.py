"""Asks a CA when it would like a certificate to be renewed (RFC 9773)."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from notafter.ca import http
from notafter.ca.reach import Reach
from notafter.domain.errors import CaError
from notafter.domain.version import RenewalWindow

#: RFC 9773 §4.3: a Retry-After is obeyed, within reason.
_SOONEST = timedelta(minutes=1)
_LATEST = timedelta(days=1)
#: §4.3.2: after a long-term error, and where the CA names no time.
_USUAL = timedelta(hours=6)
#: §4.3.1: after a temporary one: longer each time.
_FIRST_RETRY = timedelta(minutes=5)
_OK = 200
_SERVER_ERROR = 500
_TOO_MANY = 429


@dataclass(frozen=True)
class RenewalInfo:
    """What the CA said, and when to ask again."""

    window: RenewalWindow | None
    explanation_url: str | None
    next_poll_at: datetime
    failed: bool


def certificate_id(authority_key_id: str, serial: str) -> str:
    """Return a certificate's name in renewal information (RFC 9773 §4.1)."""
    number = int(serial, 16)
    octets = number.to_bytes(number.bit_length() // 8 + 1, signed=True)  # as DER does it
    return f"{_base64url(bytes.fromhex(authority_key_id))}.{_base64url(octets)}"


def ask(  # noqa: PLR0913, PLR0917 -- where, how, and for what
    base: str,
    bundle_pem: str | None,
    reach: Reach,
    name: str,
    now: datetime,
    failures: int,
) -> RenewalInfo:
    """Return a certificate's renewal window; what is wrong counts as none."""
    try:
        answer = http.get(f"{base.rstrip('/')}/{name}", bundle_pem, reach)
    except CaError:
        return _none(now + _backed_off(failures))
    wait = _retry_after(answer.retry_after, now)
    if answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY:
        return _none(now + max(_backed_off(failures), wait or timedelta(0)))
    body = answer.body if answer.status == _OK and isinstance(answer.body, dict) else {}
    window = _window(body.get("suggestedWindow"))
    if window is None:
        return _none(now + _USUAL)
    explanation = body.get("explanationURL")
    return RenewalInfo(
        window=window,
        explanation_url=explanation[:500] if isinstance(explanation, str) else None,
        next_poll_at=now + (wait or _USUAL),
        failed=False,
    )


def _none(next_poll_at: datetime) -> RenewalInfo:
    return RenewalInfo(None, None, next_poll_at, failed=True)


def _backed_off(failures: int) -> timedelta:
    longer: int = 2 ** min(failures, 10)
    return min(_FIRST_RETRY * longer, _USUAL)


def _window(value: Any) -> RenewalWindow | None:  # noqa: ANN401 -- whatever a CA sends
    if not isinstance(value, dict):
        return None
    start, end = _moment(value.get("start")), _moment(value.get("end"))
    if start is None or end is None or end <= start:
        return None
    return RenewalWindow(start, end)


def _moment(value: object) -> datetime | None:
    """Return an RFC 3339 moment; one without a zone is none."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return a Retry-After in seconds or as a date (RFC 9110 §10.2.3), clamped."""
    if value is None:
        return None
    try:
        wait = timedelta(seconds=int(value))
    except (ValueError, OverflowError):
        try:
            wait = parsedate_to_datetime(value) - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(wait, _SOONEST), _LATEST)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
