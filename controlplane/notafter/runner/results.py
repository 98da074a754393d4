"""The documented results of the collection's modules, read as types; nothing is trusted.

Each reader raises KeyError, TypeError or ValueError for a result that is not what was agreed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from notafter.domain.deployment import DeployState, FileKind
from notafter.domain.difference import Sight
from notafter.domain.outcome import (
    MOST_PAGES,
    Binding,
    Deployed,
    DeployResult,
    Endpoint,
    FailureClass,
    FoundCertificate,
    FoundFile,
    Issued,
    IssueFailed,
    Outcome,
    Page,
    Probed,
    Revoked,
    Scanned,
    Unresolved,
)

Reader = Callable[[str, Mapping[str, Any]], Outcome]

_HEX = frozenset("0123456789abcdef")
_FINGERPRINT = 64
_SCAN = 32
_LONGEST = 4000
_LONGEST_PATH = 2000
_LONGEST_NAME = 100
_MOST_LINES = 2**31


def signed(host: str, result: Mapping[str, Any]) -> Outcome:
    """Read the result of `acme_sh_certificate`: a certificate, or one that was taken back."""
    if result.get("failed"):
        return _issue_failed(host, result)
    if result.get("revoked"):
        return _revoked(host, result)
    certificate = result["certificate"]
    account = result.get("account") or {}
    return Issued(
        host=host,
        attempt=_text(result["attempt"]),
        pem=str(certificate["pem"]),
        chain_pem=str(certificate.get("chain_pem") or ""),
        account_url=_optional(account.get("url")),
        seconds=_number(result.get("seconds")),
    )


def deployed(host: str, result: Mapping[str, Any]) -> Outcome:
    """Read the result of `certificate_deploy`."""
    return Deployed(
        host=host,
        results=tuple(_deploy_result(one) for one in result["deployments"]),
        recovered=tuple(_text(one["message"]) for one in result.get("recovered") or ()),
    )


def scanned(host: str, result: Mapping[str, Any]) -> Outcome:
    """Read the result of `certificate_scan_info`."""
    found = result.get("certificates") or {}
    chains = result.get("chains") or {}
    return Scanned(
        host=host,
        server=_facts(result["server"]),
        bindings=tuple(_binding(one) for one in result["bindings"] if not _has_long_path(one)),
        certificates={
            fingerprint: FoundCertificate(str(one.get("pem") or ""), str(chains.get(one.get("chain")) or ""))
            for fingerprint, one in found.items()
            if _is_fingerprint(fingerprint)
        },
        warnings=(
            *(_warning(one) for one in result.get("unresolved") or ()),
            *(_left_out(one) for one in result["bindings"] if _has_long_path(one)),
        ),
        partial=_is_partial(result),
        page=_page(result.get("page")),
    )


def _has_long_path(one: Mapping[str, Any]) -> bool:
    """Tell whether a place cannot be on record: no index of a database takes a key of this length."""
    return any(
        len(str(file["path"]).encode("utf-8", "replace")) > _LONGEST_PATH for file in one.get("files") or ()
    )


def _left_out(one: Mapping[str, Any]) -> Unresolved:
    told = f"it names a file by more than {_LONGEST_PATH} bytes: it is left out"
    return Unresolved(_optional(one.get("config_file")), _line(one.get("line")), told)


def _is_partial(result: Mapping[str, Any]) -> bool:
    """Tell whether there may be places that the result does not have."""
    services = result["server"].get("services") or ()
    return bool(result.get("left_out")) or any(one.get("incomplete") for one in services)


def _page(value: Mapping[str, Any] | None) -> Page | None:
    """Read which part of a scan it is; more parts than any scan has are not believed."""
    if value is None:
        return None
    scan, number, of = value["scan"], value["number"], value["of"]
    if not _is_scan(scan) or type(number) is not int or type(of) is not int or not 1 <= number <= of:
        raise ValueError(f"there is no page {number} of {of}")
    if of > MOST_PAGES:
        raise ValueError(f"it claims to have {of} pages, and no scan has more than {MOST_PAGES}")
    return Page(scan, number, of)


def _is_scan(value: object) -> bool:
    return isinstance(value, str) and len(value) == _SCAN and set(value) <= _HEX


def probed(host: str, result: Mapping[str, Any]) -> Outcome:
    """Read the result of `certificate_probe_info`; a search of networks says nothing about places."""
    points = () if result.get("discovery") else result["endpoints"]
    return Probed(
        host=host,
        endpoints=tuple(
            Endpoint(
                id=_text(one.get("id") or ""),
                fingerprint=_fingerprint(one.get("fingerprint_sha256")),
                served=one.get("state") == "served",
                matches=one.get("matches") is True,
                error=_optional(one.get("error")),
                listener=_listener(one),
                name=_optional(one.get("name")),
            )
            for one in points
        ),
    )


def _issue_failed(host: str, result: Mapping[str, Any]) -> IssueFailed:
    failure = result["failure"]
    return IssueFailed(
        host=host,
        failure=_failure_class(failure.get("class")),
        message=_text(failure.get("message") or result.get("msg") or "no reason was given"),
        retry_after=_number(failure.get("retry_after")),
        seconds=_number(result.get("seconds")),
        problem=_optional(failure.get("type")),
    )


def _revoked(host: str, result: Mapping[str, Any]) -> Revoked:
    revoked = result["revoked"]
    fingerprint = _fingerprint(revoked["fingerprint_sha256"])
    if fingerprint is None:
        raise ValueError("no fingerprint of what was revoked")
    return Revoked(host, fingerprint, revoked.get("already") is True, _number(result.get("seconds")))


def _failure_class(text: object) -> FailureClass:
    try:
        return FailureClass(str(text))
    except ValueError:
        return FailureClass.INTERNAL


def _deploy_result(one: Mapping[str, Any]) -> DeployResult:
    return DeployResult(
        id=_text(one["id"]),
        state=DeployState(one["state"]),
        reason=_text(one.get("reason") or ""),
        message=_text(one.get("message") or ""),
        live_fingerprint=_fingerprint(one.get("live_fingerprint")),
        seconds=_number(one.get("seconds")),
        sights=tuple(_sight(sight) for sight in one.get("endpoints") or ()),
    )


def _binding(one: Mapping[str, Any]) -> Binding:
    return Binding(
        service=_text(one["service"])[:_LONGEST_NAME],
        config_file=_text(one.get("config_file") or ""),
        line=_line(one.get("line")),
        names=tuple(_text(name) for name in one.get("names") or ()),
        listeners=tuple(_text(listener) for listener in one.get("listeners") or ()),
        files=tuple(_file(file) for file in one.get("files") or ()),
        fingerprint=_fingerprint(one.get("certificate")),
        managed_by=_optional(one.get("managed_by")),
        problems=tuple(
            (_text(problem["kind"]), _text(problem["message"])) for problem in one.get("problems") or ()
        ),
        sights=tuple(_sight(sight) for sight in one.get("served") or ()),
    )


def _sight(one: Mapping[str, Any]) -> Sight:
    return Sight(
        listener=_text(one.get("listener") or ""),
        name=_optional(one.get("name")),
        fingerprint=_fingerprint(one.get("fingerprint")),
        error=_optional(one.get("error")),
        by=_optional(one.get("by")),
    )


def _listener(one: Mapping[str, Any]) -> str:
    """Return where an endpoint was asked, as a listener is written."""
    address, protocol = _text(one.get("address") or ""), one.get("starttls")
    place = f"[{address}]" if ":" in address else address
    return f"{place}:{_text(one.get('port') or '')}" + (f"/{_text(protocol)}" if protocol else "")


def _file(one: Mapping[str, Any]) -> FoundFile:
    path, kind, digest = _text(one["path"]), FileKind(one["kind"]), _fingerprint(one.get("sha256"))
    return FoundFile(path, kind, digest, _optional(one.get("alias")))


def _warning(one: object) -> Unresolved:
    if not isinstance(one, Mapping):
        return Unresolved(None, None, _text(one))
    return Unresolved(_optional(one.get("file")), _line(one.get("line")), _text(one.get("message")))


def _line(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST_LINES else None


def _facts(value: Mapping[str, Any]) -> dict[str, object]:
    """Keep a host's facts as data; what looks like a setting of Ansible is not kept."""
    return {_text(key): _plain(inner) for key, inner in value.items() if not str(key).startswith("ansible_")}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {_text(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value[:1000]]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such number
    return value if isinstance(value, int | float | bool) or value is None else _text(value)


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, str) and len(value) == _FINGERPRINT and set(value) <= _HEX


def _fingerprint(value: object) -> str | None:
    return str(value) if _is_fingerprint(value) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(float(value), 0.0)


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    """Return a text that the database can hold; what it says is nobody's code."""
    return str(value)[:_LONGEST].encode("utf-8", "replace").decode("utf-8")
