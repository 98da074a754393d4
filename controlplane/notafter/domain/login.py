"""A login: somebody who has proved who they are, and may go on without doing so again for a while."""

from datetime import datetime, timedelta
from enum import StrEnum

#: How long an access token is good for.
ACCESS = timedelta(hours=1)
#: A login that is not refreshed ends after this, and every one at the latest after that.
IDLE = timedelta(days=7)
LONGEST = timedelta(days=30)
#: How old the newest key that signs access tokens gets before another one takes over.
KEY_LIFE = timedelta(days=30)


class LoginEnd(StrEnum):
    """Why a login has ended."""

    LOGGED_OUT = "logged_out"
    REUSED = "reused"  #: a refresh token came twice: one of two has stolen it
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 -- a reason
    DISABLED = "disabled"


def expires_at(began_at: datetime, now: datetime) -> datetime:
    """Return until when a refresh token that is made now is good."""
    return min(now + IDLE, began_at + LONGEST)


def key_is_due(made_at: datetime | None, now: datetime) -> bool:
    """Tell whether a new key is to sign from now on."""
    return made_at is None or now - made_at >= KEY_LIFE


def key_is_over(replaced_at: datetime, now: datetime) -> bool:
    """Tell whether nothing that a replaced key has signed can still be good."""
    return now - replaced_at > ACCESS
