"""Puts the routes together."""

from fastapi import Depends

from notafter import __version__
from notafter.api import (
    accounts,
    audit,
    auth,
    bundles,
    certificates,
    findings,
    health,
    jobs,
    lines,
    metrics,
    problems,
    rights,
    runs,
    servers,
    tokens,
    users,
)
from notafter.api.document import Application
from notafter.api.envelope import Envelope
from notafter.api.idempotency import Answered, Idempotency, answered, once
from notafter.api.limits import BodyLimit
from notafter.api.service import Service, guard

NOUNS = (
    *(health, metrics, servers, certificates, findings, jobs, lines, runs, accounts, bundles),
    *(auth, tokens, users, audit),
)


def served(service: Service) -> Envelope:
    """Return what is served: the application, and what goes around each of its answers."""
    return Envelope(create(service), service.stopwatch.observe)


def create(service: Service) -> Application:
    """Return the application; before every operation stands the guard (service.py, rights.py)."""
    app = assemble()
    app.state.service = service
    return app


def assemble() -> Application:
    """Return the application with nothing behind it, as the document describes it."""
    app = Application(
        title="notafter",
        version=__version__,
        description="Automated TLS certificate life-cycle for server fleets.",
        docs_url=None,  # its pages load programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(guard), Depends(once)],
    )
    app.add_middleware(Idempotency)
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.add_exception_handler(Answered, answered)
    for noun in NOUNS:
        app.include_router(noun.router)
    rights.check(route for noun in NOUNS for route in noun.router.routes)
    return app
