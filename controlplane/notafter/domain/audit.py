"""The audit: who changed what, and who was given a secret. An entry is never changed; it is chained."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What was done."""

    LOGGED_IN = "login.opened"
    LOGIN_REFUSED = "login.refused"
    LOGIN_STOLEN = "login.stolen"  #: a refresh token came twice
    LOGGED_OUT = "login.ended"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 -- an action
    PASSWORD_REFUSED = "password.refused"  # noqa: S105 -- an action
    PASSWORD_RESET = "password.reset"  # noqa: S105 -- an action
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_REMOVED = "user.removed"
    TOKEN_CREATED = "token.created"  # noqa: S105 -- an action
    TOKEN_REMOVED = "token.removed"  # noqa: S105 -- an action
    ACCOUNT_CREATED = "account.created"
    LIMITS_SET = "account.limits"
    CREDENTIAL_CREATED = "credential.created"
    SCAN_ASKED = "scan.asked"
    ADOPTED = "certificate.adopted"
    RENEWAL_ASKED = "certificate.renew"
    VERIFICATION_ASKED = "certificate.verify"
    REVOCATION_ASKED = "certificate.revoke"
    INCIDENT_TOLD = "certificate.revoked_by_ca"
    RUN_TOLD = "run.told"
    CANCELLING_ASKED = "job.cancel"
    RETRY_ASKED = "job.retry"
    CREDENTIALS_GIVEN = "secret.credentials"
    KEY_GIVEN = "secret.key"
    KEYS_ROTATED = "keys.rotated"
    BACKED_UP = "backup.made"
    RESTORED = "backup.restored"


@dataclass(frozen=True)
class Actor:
    """Who does something, and from where."""

    name: str
    address: str


#: What is said beside it: names, roles, reasons; never a secret.
Detail = Mapping[str, str | int | bool | list[str] | None]


@dataclass(frozen=True)
class Entry:
    """One thing that was done."""

    number: int
    at: datetime
    actor: Actor
    action: Action
    subject: str
    detail: Detail = field(default_factory=dict)

    def text(self) -> str:
        """Return the entry as one line of JSON, always the same for the same entry."""
        said = {
            "number": self.number,
            "at": self.at.isoformat(timespec="microseconds"),
            "who": self.actor.name,
            "address": self.actor.address,
            "action": self.action.value,
            "subject": self.subject,
            "detail": dict(self.detail),
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":"))


_GRAVE = frozenset(
    {
        Action.LOGIN_STOLEN,
        Action.REVOCATION_ASKED,
        Action.INCIDENT_TOLD,
        Action.USER_REMOVED,
        Action.RESTORED,
    }
)
_ROUTINE = frozenset({Action.LOGGED_IN, Action.LOGGED_OUT, Action.CREDENTIALS_GIVEN, Action.KEY_GIVEN})


def severity(action: Action) -> int:
    """Return how grave an action is in itself, 0 to 10 as in CEF."""
    if action in _GRAVE:
        return 7
    return 2 if action in _ROUTINE else 4


def cef(entry: Entry, version: str) -> str:
    """Return an entry in the Common Event Format (ArcSight CEF, version 25, chapter 1)."""
    kind = entry.action.value
    head = "|".join(_header(part) for part in ("notafter", "notafter", version, kind, kind.replace(".", " ")))
    told = {
        "rt": str(int(entry.at.timestamp() * 1000)),
        "externalId": str(entry.number),
        "suser": entry.actor.name,
        **_source(entry.actor.address),
        "cs1Label": "subject",
        "cs1": entry.subject,
        "msg": json.dumps(dict(entry.detail), sort_keys=True),
    }
    extension = " ".join(f"{key}={_extension(value)}" for key, value in told.items() if value)
    return f"CEF:0|{head}|{severity(entry.action)}|{extension}"


def _source(address: str) -> dict[str, str]:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return {"shost": address}
    return {"src": address} if found.version == 4 else {"c6a2Label": "source", "c6a2": address}  # noqa: PLR2004


def _header(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def _extension(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace("=", "\\=")


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
