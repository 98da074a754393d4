"""Which right each operation needs; with one that is not in this table the process does not start."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from notafter.domain.user import Right


class Door(StrEnum):
    """A door without a right."""

    OPEN = "open"  #: for everybody
    JOB = "job"  #: for the token of the running job, and for what that job works on


NEEDS: Mapping[str, Right | Door] = {
    "GET /healthz": Door.OPEN,
    "GET /metrics": Right.READ,
    "GET /readyz": Door.OPEN,
    "GET /api/v1/accounts": Right.READ,
    "POST /api/v1/accounts": Right.MANAGE,
    "PUT /api/v1/accounts/{name}/limits": Right.MANAGE,
    "POST /api/v1/auth/login": Door.OPEN,
    "POST /api/v1/auth/refresh": Door.OPEN,
    "POST /api/v1/auth/logout": Right.OWN,
    "GET /api/v1/audit": Right.AUDIT,
    "GET /api/v1/auth/me": Right.OWN,
    "PUT /api/v1/auth/password": Right.OWN,
    "GET /api/v1/certificates": Right.READ,
    "GET /api/v1/certificates/{certificate_id}": Right.READ,
    "POST /api/v1/certificates/{certificate_id}/adopt": Right.OPERATE,
    "POST /api/v1/certificates/{certificate_id}/renew": Right.OPERATE,
    "POST /api/v1/certificates/{certificate_id}/revoke": Right.REVOKE,
    "POST /api/v1/certificates/{certificate_id}/verify": Right.OPERATE,
    "POST /api/v1/certificates/revoked": Right.OPERATE,
    "GET /api/v1/dns-credentials": Right.READ,
    "POST /api/v1/dns-credentials": Right.MANAGE,
    "GET /api/v1/findings": Right.READ,
    "GET /api/v1/jobs": Right.READ,
    "GET /api/v1/jobs/{job_id}": Right.READ,
    "POST /api/v1/jobs/{job_id}/cancel": Right.OPERATE,
    "POST /api/v1/jobs/{job_id}/retry": Right.OPERATE,
    "GET /api/v1/jobs/{job_id}/bundle/{certificate}": Door.JOB,
    "GET /api/v1/jobs/{job_id}/credentials/{certificate}": Door.JOB,
    "GET /api/v1/jobs/{job_id}/lines": Right.READ,
    "GET /api/v1/jobs/{job_id}/lines/stream": Right.READ,
    "POST /api/v1/runs": Right.REPORT,
    "POST /api/v1/scan": Right.OPERATE,
    "GET /api/v1/servers": Right.READ,
    "GET /api/v1/servers/{name}": Right.READ,
    "GET /api/v1/tokens": Right.OWN,
    "POST /api/v1/tokens": Right.OWN,
    "DELETE /api/v1/tokens/{token_id}": Right.OWN,
    "GET /api/v1/users": Right.ADMINISTER,
    "POST /api/v1/users": Right.ADMINISTER,
    "GET /api/v1/users/{user_id}": Right.ADMINISTER,
    "PATCH /api/v1/users/{user_id}": Right.ADMINISTER,
    "DELETE /api/v1/users/{user_id}": Right.ADMINISTER,
    "POST /api/v1/users/{user_id}/password": Right.ADMINISTER,
}


_BY_PERSON = frozenset(
    operation
    for operation, need in NEEDS.items()
    if need is Right.ADMINISTER and not operation.startswith("GET ")
) | {"POST /api/v1/auth/logout", "PUT /api/v1/auth/password", "POST /api/v1/tokens"}
_FIRST = frozenset({"GET /api/v1/auth/me", "POST /api/v1/auth/logout", "PUT /api/v1/auth/password"})


def is_by_person(method: str, path: str) -> bool:
    """Tell whether an operation wants somebody who has logged in: what it makes would outlive a token."""
    return f"{method} {path}" in _BY_PERSON


def is_first(method: str, path: str) -> bool:
    """Tell whether an operation is open to who has to set a password first."""
    return f"{method} {path}" in _FIRST


def needed(method: str, path: str) -> Right | Door | None:
    """Return what an operation needs, by its method and the template of its path; None: nobody may."""
    return NEEDS.get(f"{method} {path}")


def check(routes: Iterable[BaseRoute]) -> None:
    """Refuse routes that are not exactly those of the table."""
    served = {
        f"{method} {route.path}"
        for route in routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    ungoverned, unknown = sorted(served - NEEDS.keys()), sorted(NEEDS.keys() - served)
    if ungoverned or unknown:
        raise RuntimeError(f"api/rights.py: no right is said for {ungoverned}, nothing serves {unknown}")
