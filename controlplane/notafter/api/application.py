"""Puts the routes together."""

from fastapi import APIRouter, FastAPI

from notafter import __version__
from notafter.api import accounts, bundles, certificates, findings, health, jobs, problems, runs, servers
from notafter.api.limits import BodyLimit
from notafter.api.service import Service


def create(service: Service) -> FastAPI:
    """Return the application; everything but health is behind a token."""
    app = FastAPI(
        title="notafter",
        version=__version__,
        description="Automated TLS certificate life-cycle for server fleets.",
    )
    app.state.service = service
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.include_router(health.router)
    v1 = APIRouter(prefix="/api/v1")
    for noun in (servers, certificates, findings, jobs, runs, accounts, bundles):
        v1.include_router(noun.router)
    app.include_router(v1)
    return app
