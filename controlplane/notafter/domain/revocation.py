"""May a version be revoked: not while it serves and nothing else does, unless a person says why."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class RevocationReason(StrEnum):
    """Why a certificate is taken back; the names of RFC 5280 §5.3.1, those that a subscriber may give."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"


class RevocationBy(StrEnum):
    """Who signs the wish (RFC 8555 §7.6)."""

    ACCOUNT = "account"
    #: The certificate's own key: proof enough, whichever account had ordered it.
    KEY = "key"


@dataclass(frozen=True)
class RevocationFacts:
    """What is known of a version that somebody wants revoked."""

    key: str
    fingerprint: str
    by: RevocationBy
    #: Where it serves, by what was last seen there.
    serves_at: tuple[str, ...] = ()
    #: It is the version that its places are to show.
    wanted: bool = False
    revoked: bool = False
    expired: bool = False
    has_key: bool = False
    account: str | None = None


_SHOWN = 3

Check = Callable[[RevocationFacts], str | None]


def why_never(facts: RevocationFacts) -> str | None:
    """Say what makes a revocation impossible, whoever wants it."""
    return next((told for told in (check(facts) for check in _NEVER) if told is not None), None)


def why_not_yet(facts: RevocationFacts) -> str | None:
    """Say what a revocation would break; a person may want it all the same."""
    short = facts.fingerprint[:16]
    if facts.serves_at:
        shown = ", ".join(facts.serves_at[:_SHOWN])
        more = f" and {len(facts.serves_at) - _SHOWN} places more" if len(facts.serves_at) > _SHOWN else ""
        return (
            f"{short} of {facts.key} still serves at {shown}{more}: renew and deploy {facts.key} first,"
            " or force it and say why"
        )
    if facts.wanted:
        return (
            f"{short} is what the places of {facts.key} are to show: renew it first, or force it and say why"
        )
    return None


def _revoked(facts: RevocationFacts) -> str | None:
    return f"{facts.fingerprint[:16]} of {facts.key} was revoked already" if facts.revoked else None


def _expired(facts: RevocationFacts) -> str | None:
    if not facts.expired:
        return None
    return f"{facts.fingerprint[:16]} of {facts.key} has expired: nobody accepts it any more"


def _no_account(facts: RevocationFacts) -> str | None:
    if facts.account is not None:
        return None
    return f"no CA account is known that could revoke a version of {facts.key}: adopt it first"


def _no_key(facts: RevocationFacts) -> str | None:
    if facts.by is not RevocationBy.KEY or facts.has_key:
        return None
    return f"the key of {facts.fingerprint[:16]} is not in custody: revoke it by account"


_NEVER: tuple[Check, ...] = (_revoked, _expired, _no_account, _no_key)
