"""Is it alive, is it ready."""

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from notafter.api.service import ServiceDep
from notafter.domain.errors import StoreError
from notafter.store import jobs

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(desk: ServiceDep) -> JSONResponse:
    """Say whether work can be done: the database answers and is of this version."""
    try:
        desk.database.check()
        with desk.database.read() as session:
            waiting = jobs.waiting(session)
    except StoreError as error:
        return JSONResponse({"status": "not ready", "reason": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse({"status": "ready", "jobs_waiting": waiting})
