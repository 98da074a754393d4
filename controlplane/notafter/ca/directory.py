"""A CA's directory (RFC 8555 §7.1.1): where its services are."""

from dataclasses import dataclass

from notafter.ca import http
from notafter.ca.reach import Reach
from notafter.domain.errors import NotADirectory

_NEEDED = ("newNonce", "newAccount", "newOrder")
_SERVICES = (*_NEEDED, "newAuthz", "revokeCert", "keyChange", "renewalInfo")
_OK = 200


@dataclass(frozen=True)
class Directory:
    """What we need of a directory."""

    url: str
    renewal_info: str | None
    profiles: tuple[str, ...]
    #: Accounts there must be tied to one that the CA keeps elsewhere (RFC 8555 §7.3.4).
    eab_required: bool = False


def read(url: str, bundle_pem: str | None, reach: Reach) -> Directory:
    """Return the directory behind an address, or say why it is none; its services are within reach too."""
    answer = http.get(url, bundle_pem, reach)
    body = answer.body
    if answer.status != _OK or not isinstance(body, dict):
        raise NotADirectory(f"{url} is no ACME directory: it answers {answer.status}")
    missing = [name for name in _NEEDED if not isinstance(body.get(name), str)]
    if missing:
        raise NotADirectory(f"{url} is no ACME directory: it lacks {', '.join(missing)}")
    for name in _SERVICES:
        if isinstance(body.get(name), str):
            reach.ways(body[name])
    meta = body.get("meta")
    profiles = meta.get("profiles") if isinstance(meta, dict) else None
    info = body.get("renewalInfo")
    return Directory(
        url=url,
        renewal_info=info if isinstance(info, str) else None,
        profiles=tuple(profiles) if isinstance(profiles, dict) else (),
        eab_required=isinstance(meta, dict) and meta.get("externalAccountRequired") is True,
    )
