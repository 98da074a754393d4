"""Access tokens: signed with a key of ours and one algorithm (RFC 7519, RFC 8725 §3.1).

What a token says of itself decides nothing: which key is asked for by its id among ours, the algorithm
is pinned, and what its bearer may do is looked up each time.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import jwt

from notafter.domain.errors import NotAuthenticated
from notafter.domain.login import ACCESS

_ALGORITHM = "HS256"
_US = "notafter"
_CLAIMS = ("exp", "iat", "aud", "iss", "sub", "sid", "jti")
_KEY_BYTES = 32


@dataclass(frozen=True)
class Bearer:
    """Whose token it is."""

    user_id: int
    login_id: int


def make_key() -> bytes:
    """Return a new key."""
    return secrets.token_bytes(_KEY_BYTES)


def sign(bearer: Bearer, key_id: str, key: bytes, now: datetime) -> str:
    """Return an access token."""
    claims = {
        "iss": _US,
        "aud": _US,
        "sub": str(bearer.user_id),
        "sid": str(bearer.login_id),
        "jti": secrets.token_urlsafe(12),
        "iat": int(now.timestamp()),
        "exp": int((now + ACCESS).timestamp()),
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id})


def read(token: str, key_of: Callable[[str], bytes | None], now: datetime) -> Bearer:
    """Return whose token it is; raises NotAuthenticated for one that we have not made, or that has ended."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = key_of(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise NotAuthenticated(_NOTHING)
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=_US,
            issuer=_US,
            options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False},
        )
        expires, bearer = float(claims["exp"]), Bearer(int(claims["sub"]), int(claims["sid"]))
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise NotAuthenticated(_NOTHING) from error
    if expires <= now.timestamp():
        raise NotAuthenticated("this access token has expired: refresh it")
    return bearer


_NOTHING = "this token opens nothing"
