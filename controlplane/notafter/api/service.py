"""What every route needs, and who may come in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from notafter.custody.custodian import Custodian
from notafter.domain.errors import NotAuthenticated
from notafter.store import tokens
from notafter.store.database import Database

_bearer = HTTPBearer(auto_error=False, description="An API token: `notafter token create`")


@dataclass(frozen=True)
class Service:
    """The rooms below, as the routes see them."""

    database: Database
    custodian: Custodian
    clock: Callable[[], datetime]
    wake: Callable[[], None]


def service(request: Request) -> Service:
    """Return the rooms below."""
    found = request.app.state.service
    if not isinstance(found, Service):
        raise TypeError("the app has no service")
    return found


ServiceDep = Annotated[Service, Depends(service)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(desk: ServiceDep, bearer: Bearer) -> str:
    """Return who calls, by the name of the token."""
    if bearer is None:
        raise NotAuthenticated("a token is needed: Authorization: Bearer …")
    with desk.database.read() as session:
        return tokens.check(session, bearer.credentials, desk.clock()).name


Caller = Annotated[str, Depends(caller)]
