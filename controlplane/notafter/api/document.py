"""The OpenAPI document: to what FastAPI reads from the routes comes what all of them share.

Which right each operation needs (`x-right`), and every way in which it can say no, as a problem (RFC 9457).
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from typing_extensions import override

from notafter.api import idempotency, rights
from notafter.api.rights import Door
from notafter.domain.user import Right

_PROBLEM = "#/components/schemas/Problem"


_KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": "Who asks again with the same key within 24 hours gets the same answer; it is done once",
    "schema": {"type": "string", "pattern": f"^{idempotency.KEY}$"},
}


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    problem: str


class Problem(BaseModel):
    """Why something was not done, and what to do about it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = None


class Application(FastAPI):
    """An application whose document says all that its operations can answer."""

    @override
    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _document(self)
        return self.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs"), Problem=made)
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            _complete(operation, method.upper(), path)
    return found


def _complete(operation: dict[str, Any], method: str, path: str) -> None:
    need = rights.needed(method, path)
    if method == "POST" and need is not Door.OPEN:
        operation.setdefault("parameters", []).append(_KEY)
    operation["summary"] = operation["description"].splitlines()[0].rstrip(".")
    operation["x-right"] = need
    if need is Door.OPEN:
        operation.pop("security", None)
    for status in _refusals(operation, need, method, path):
        answer = {
            "description": status.phrase,
            "content": {"application/problem+json": {"schema": {"$ref": _PROBLEM}}},
        }
        operation["responses"][str(int(status))] = answer
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _refusals(
    operation: dict[str, Any], need: Right | Door | None, method: str, path: str
) -> Iterator[HTTPStatus]:
    """Tell how an operation can say no: who is not let in, what is not there, what does not fit."""
    if path == "/healthz":
        return
    takes = "requestBody" in operation or "parameters" in operation
    if takes or path == "/api/v1/auth/refresh":
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if "requestBody" in operation:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if need is not Door.OPEN or path.startswith("/api/v1/auth/"):
        yield HTTPStatus.UNAUTHORIZED
    if need is not Door.OPEN:
        yield HTTPStatus.FORBIDDEN
    if path in {"/api/v1/auth/login", "/api/v1/auth/password"}:
        yield HTTPStatus.TOO_MANY_REQUESTS
    if "{" in path:
        yield HTTPStatus.NOT_FOUND
    if method != "GET" and need is not Door.OPEN:
        yield HTTPStatus.CONFLICT
    yield HTTPStatus.SERVICE_UNAVAILABLE
