"""People: who may do what, what a password must be, and how long somebody who guesses is kept waiting.

What may be done is a right; a role is a set of rights, a token has some of those of its owner.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from notafter.domain.errors import InvalidInput, InvalidName


class Right(StrEnum):
    """What somebody may do; each operation of the API needs one of these (api/rights.py)."""

    READ = "read"  #: see all that is no secret
    OWN = "own"  #: their own password, logins and tokens
    OPERATE = "operate"  #: scan, adopt, renew, look at what is served
    REVOKE = "revoke"  #: take certificates back
    REPORT = "report"  #: tell of runs that were started elsewhere
    MANAGE = "manage"  #: CA accounts and their limits, DNS credentials
    ADMINISTER = "administer"  #: people
    AUDIT = "audit"  #: see who did what


class Role(StrEnum):
    """What a person is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER = frozenset({Right.READ, Right.OWN})
_OPERATOR = _VIEWER | {Right.OPERATE, Right.REVOKE, Right.REPORT}

RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _OPERATOR | {Right.MANAGE, Right.ADMINISTER, Right.AUDIT},
}

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
#: Characters (NIST SP 800-63B-4 §3.1.1.2: at least 15 where nothing else proves who it is, 64 must do).
_SHORTEST, LONGEST_PASSWORD = 15, 128
#: Of zxcvbn: 4, the best, is for what takes more than 10^10 guesses.
_SCORE = 4
_LOOKED_AT = 72
_IPV6_SITE = 64
_LONGEST_ADDRESS = 64


def user_name(text: str) -> str:
    """Return a name that somebody can log in with: small letters, as it is compared."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{text[:64]!r} is no user name: up to 64 small letters, digits, '.', '_', '@', '+' and '-' are"
        )
    return name


def token_name(text: str) -> str:
    """Return what a token is called."""
    name = text.strip()
    if not _TOKEN_NAME.fullmatch(name):
        raise InvalidName(
            f"{text[:64]!r} is no name of a token: up to 64 letters, digits, '.', '_', '@', '+' and '-' are"
        )
    return name


def check_password(password: str, name: str) -> None:
    """Refuse a password that could be guessed, with what would make it better; it is never repeated."""
    if len(password) < _SHORTEST:
        raise InvalidInput(f"the password is too short: take at least {_SHORTEST} characters, some words do")
    if len(password) > LONGEST_PASSWORD:
        raise InvalidInput(f"the password is too long: {LONGEST_PASSWORD} characters are the most")
    from zxcvbn import zxcvbn  # noqa: PLC0415 -- its word lists take a moment that few need

    found = zxcvbn(password[:_LOOKED_AT], user_inputs=[name, "notafter"])
    if found["score"] < _SCORE:
        hints = [found["feedback"]["warning"], *found["feedback"]["suggestions"]]
        told = " ".join(str(hint) for hint in hints if hint) or "Add another word or two."
        raise InvalidInput(f"the password could be guessed: {told}")


def scopes(wanted: Iterable[Right], held: frozenset[Right]) -> tuple[Right, ...]:
    """Return what a token may do: nothing that its maker may not."""
    chosen = frozenset(wanted)
    beyond = sorted(chosen - held)
    if beyond:
        raise InvalidInput(f"nobody can give away what they do not have: {', '.join(beyond)}")
    if not chosen:
        raise InvalidInput("a token without any right opens nothing")
    return tuple(right for right in Right if right in chosen)


class Guessing(StrEnum):
    """Whose wrong passwords are counted together."""

    ACCOUNT = "account"
    ADDRESS = "address"


def site(address: str) -> str:
    """Return what is counted of an address: of IPv6 the network, in which each host has many."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:_LONGEST_ADDRESS]
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if mapped is not None or isinstance(found, ipaddress.IPv4Address):
        return str(mapped or found)
    return str(ipaddress.ip_network((int(found), _IPV6_SITE), strict=False))


def familiar(name: str, here: str) -> str:
    """Return what wrong passwords are counted under where the owner of a name has logged in lately."""
    return f"{name} from {here}"


#: How many wrong passwords in a row cost nothing, and how long is waited at most after more.
_PATIENCE: Mapping[Guessing, tuple[int, timedelta]] = {
    Guessing.ACCOUNT: (5, timedelta(minutes=15)),
    Guessing.ADDRESS: (20, timedelta(hours=1)),
}
_FIRST_WAIT = timedelta(seconds=15)
_DOUBLINGS = 10
#: After so long without one the count begins anew, and of an address one is forgiven each so often:
#: behind one there may be a whole office.
FORGOTTEN_AFTER = timedelta(hours=24)
_FORGIVEN_EVERY = timedelta(minutes=30)


def remaining(kind: Guessing, failures: int, last_at: datetime, now: datetime) -> int:
    """Return how many wrong passwords still count."""
    if now - last_at >= FORGOTTEN_AFTER:
        return 0
    return max(0, failures - (now - last_at) // _FORGIVEN_EVERY) if kind is Guessing.ADDRESS else failures


def blocked_until(kind: Guessing, failures: int, last_at: datetime) -> datetime:
    """Return until when no password is looked at: twice as long after each further wrong one.

    An unknown account is kept waiting as a known one is, so that nobody learns which there are.
    """
    free, longest = _PATIENCE[kind]
    if failures < free:
        return last_at
    doublings: int = min(failures - free, _DOUBLINGS)
    return last_at + min(longest, _FIRST_WAIT * (1 << doublings))
