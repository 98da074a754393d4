"""Errors → answers (RFC 9457); the only place that knows which HTTP status an error has."""

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from notafter.domain import errors

log = structlog.get_logger(__name__)

#: The nearest entry of an error's own line of parents counts.
STATUS: Mapping[type[errors.NotafterError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.NotAllowed: HTTPStatus.FORBIDDEN,
    errors.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyStreams: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CaError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotafterError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_TYPE = "application/problem+json"
_HEADERS: Mapping[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}


def answer(status: int, code: str, detail: str, **more: object) -> JSONResponse:
    """Return a problem document."""
    title = HTTPStatus(status).phrase
    body = {
        "type": f"urn:notafter:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    return JSONResponse({**body, **more}, status, headers=_HEADERS.get(status), media_type=_TYPE)


def install(app: FastAPI) -> None:
    """Teach an app to answer errors so."""
    app.add_exception_handler(errors.NotafterError, _named)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unnamed)


def _named(_request: Request, error: Exception) -> JSONResponse:
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    said = answer(STATUS[kind], _code(type(error).__name__), _told(error))
    if isinstance(error, errors.TooManyAttempts):
        said.headers["Retry-After"] = str(error.seconds)
    return said


def _told(error: Exception) -> str:
    """Return what is told; where the database is, is for the log."""
    if not isinstance(error, errors.StoreError):
        return str(error)
    log.warning("the database cannot be used", reason=str(error))
    return "the database cannot be used just now: try again"


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Say which field is wrong and why; what was sent is not sent back."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    wrong = [
        {"field": ".".join(str(part) for part in one["loc"]), "problem": str(one["msg"])} for one in found
    ]
    told = "; ".join(f"{one['field']}: {one['problem']}" for one in wrong[:5])
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", told, errors=wrong[:50])


def _http(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    said = answer(status, _code(HTTPStatus(status).name.title().replace("_", "")), HTTPStatus(status).phrase)
    if isinstance(error, HTTPException) and error.headers:
        said.headers.update(error.headers)
    return said


def _unnamed(_request: Request, error: Exception) -> JSONResponse:
    log.error("a request broke off", error=type(error).__name__, exc_info=error)
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what")


def _code(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")
