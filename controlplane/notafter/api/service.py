"""What every route needs, and who may come in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from notafter.api import rights
from notafter.api.rights import Door
from notafter.api.schema import V1
from notafter.api.stopwatch import Stopwatch
from notafter.api.streams import Streams
from notafter.ca.reach import Reach
from notafter.custody.custodian import Custodian
from notafter.domain.audit import Action, Detail
from notafter.domain.errors import NotAllowed, NotAuthenticated
from notafter.domain.user import Right
from notafter.lifecycle.audit import Ledger, Recorded
from notafter.lifecycle.login import Office, Visitor
from notafter.lifecycle.scheduler import Pulse
from notafter.store.database import Database, Session

_bearer = HTTPBearer(
    auto_error=False,
    description="An access token of `/api/v1/auth/login`, or an API token: `notafter token create`",
)


@dataclass(frozen=True)
class Service:
    """The rooms below, as the routes see them."""

    database: Database
    custodian: Custodian
    clock: Callable[[], datetime]
    wake: Callable[[], None]
    pulse: Pulse = field(default_factory=Pulse)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    reach: Reach = field(default_factory=Reach)
    streams: Streams = field(default_factory=Streams)

    def recorded(
        self, who: Visitor, action: Action, subject: str = "", detail: Detail | None = None
    ) -> Recorded:
        """Return a way to write that puts on record who did what."""
        return Recorded(self.database, Ledger(self.custodian), self.clock, who.actor, action, subject, detail)

    def change(
        self, who: Visitor, action: Action, subject: str = "", detail: Detail | None = None
    ) -> AbstractContextManager[Session]:
        """Open a transaction in which somebody changes something; it is put on record with it."""
        return self.recorded(who, action, subject, detail).write()

    def note(
        self, session: Session, who: Visitor, action: Action, subject: str, detail: Detail | None = None
    ) -> None:
        """Put on record what somebody has done in this transaction, where it is known only afterwards."""
        Ledger(self.custodian).note(session, who.actor, action, subject, self.clock(), detail)

    @cached_property
    def office(self) -> Office:
        """Where people and their tokens are let in."""
        return Office(self.database, self.custodian)


def service(request: Request) -> Service:
    """Return the rooms below."""
    found = request.app.state.service
    if not isinstance(found, Service):
        raise TypeError("the app has no service")
    return found


ServiceDep = Annotated[Service, Depends(service)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def guard(request: Request, desk: ServiceDep, bearer: Bearer, background: BackgroundTasks) -> Visitor | None:
    """Let in who may use this operation, before anything else of the request is looked at.

    Stands before every route. A job's token is looked at where it is known whose job it is (bundles.py).
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute):
        raise NotAllowed("nobody may")
    need = rights.needed(request.method, route.path)
    if isinstance(need, Door):
        return None
    if bearer is None:
        raise NotAuthenticated("a token is needed: Authorization: Bearer …")
    found = _let_in(desk, request, bearer.credentials, need, route.path)
    if found.unnoted_token is not None:
        background.add_task(desk.office.note_use, found.unnoted_token, desk.clock())
    return found


def _let_in(desk: Service, request: Request, token: str, need: Right | None, path: str) -> Visitor:
    """Return who comes with a token, if they may use an operation now."""
    found = replace(desk.office.visitor(token, desk.clock()), address=address(request))
    refusal = _refusal(found, need, request.method, path)
    if refusal is not None:
        raise NotAllowed(refusal)
    return found


def _refusal(found: Visitor, need: Right | None, method: str, path: str) -> str | None:
    if found.must_change_password and not rights.is_first(method, path):
        return f"this password was given by somebody else: set your own first, with PUT {V1}/auth/password"
    if need not in found.rights:
        return f"{found.name} has no right to this: it needs '{need}'"
    if found.login_id is None and rights.is_by_person(method, path):
        return "this is done after logging in with a password, not with a token"
    return None


def still_in(request: Request, desk: ServiceDep, bearer: Bearer) -> Callable[[], bool]:
    """Return a way to ask again whether who came in may still be there, for what takes long."""
    route = request.scope["route"]

    def ask() -> bool:
        if bearer is None:
            return False
        try:
            _let_in(desk, request, bearer.credentials, _right(request.method, route.path), route.path)
        except (NotAuthenticated, NotAllowed):
            return False
        return True

    return ask


StillIn = Annotated[Callable[[], bool], Depends(still_in)]


def _right(method: str, path: str) -> Right | None:
    need = rights.needed(method, path)
    return need if isinstance(need, Right) else None


def visitor(found: Annotated[Visitor | None, Depends(guard)]) -> Visitor:
    """Return who asks, where somebody must have come in."""
    if found is None:
        raise NotAuthenticated("a token is needed: Authorization: Bearer …")
    return found


VisitorDep = Annotated[Visitor, Depends(visitor)]


def address(request: Request) -> str:
    """Return where a request comes from, as far as it is known."""
    return request.client.host if request.client else "unknown"


Address = Annotated[str, Depends(address)]
