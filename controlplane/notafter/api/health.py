"""Is it alive, is it ready."""

from http import HTTPStatus

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from notafter.api.service import ServiceDep
from notafter.domain.errors import CustodyError, StoreError
from notafter.lifecycle import unlock
from notafter.store import jobs

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(desk: ServiceDep) -> JSONResponse:
    """Say whether work can be done: the database answers, is of this version, and has our key."""
    try:
        desk.database.check()
        with desk.database.read() as session:
            unlock.still_fits(session, desk.custodian)
            waiting = jobs.waiting(session)
    except (StoreError, CustodyError) as error:
        log.warning("not ready", reason=str(error))
        reason = type(error).__name__
        return JSONResponse({"status": "not ready", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse({"status": "ready", "jobs_waiting": waiting})
