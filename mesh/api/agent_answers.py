"""How the agent API answers and reads: errors as `{"error": "<text>"}`, bodies as JSON whatever their type is said to be.

Section 2 of the daemon's specification; statuses are those of HTTP where the stock daemon answers 500 to everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mesh.errors import (
    DecodeError,
    LimitError,
    MeshError,
    StorageError,
    UsageError,
)
from mesh.network.gater import Denied
from mesh.protocols.openclaw.json_text import read_object

_STATUS: tuple[tuple[type[MeshError], int], ...] = (
    (Denied, 403),
    (UsageError, 400),
    (DecodeError, 400),
    (LimitError, 413),
    (StorageError, 503),
    (MeshError, 424),
)
"""The first class that fits decides. What remains is a peer's or the network's fault, on which the request depended: no
failure of this daemon, so no 5xx."""


class Refused(Exception):  # noqa: N818 - an answer, as HTTP names it
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class AgentAsked(BaseModel):
    """A request body; what it does not name is ignored, as stock daemons do. ``refusal`` answers one that lacks fields
    or has them in another type."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)
    refusal: ClassVar[str] = ""


Asked = TypeVar("Asked", bound=AgentAsked)
_OF_SHAPE = frozenset(["missing", "none_required"])


async def asked(request: Request, model: type[Asked]) -> Asked:
    """The body as ``model``. Raises `Refused`."""
    document = await document_of(request)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Refused(400, _fault(error.errors(include_url=False), model.refusal)) from None


async def document_of(request: Request) -> dict[str, Any]:
    """The JSON object that is the body. Raises `Refused`."""
    try:
        return read_object(await request.body(), "body")
    except DecodeError as error:
        raise Refused(400, str(error)) from None


def _fault(faults: Sequence[Any], refusal: str) -> str:
    first = faults[0]
    kind = str(first.get("type", ""))
    if refusal and (kind in _OF_SHAPE or kind.endswith("_type") or kind == "string_too_short"):
        return refusal
    place = ".".join(str(part) for part in first.get("loc", ())) or "body"
    return f"{place}: {first.get('msg', '')}"


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The part of an operation's description that shows its body."""
    content = {
        "application/json": {"schema": model.model_json_schema(ref_template="#/components/schemas/{model}")}
    }
    return {"requestBody": {"required": True, "content": content}}


class AgentRoute(APIRoute):
    """A route that takes no query answers 404 to one, as stock daemons do."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()
        if self.dependant.query_params:
            return handle

        async def without_query(request: Request) -> Response:
            if request.scope["query_string"]:
                raise Refused(404, "Not found")
            return await handle(request)

        return without_query


def error_answer(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """`{"error": text}`."""
    return JSONResponse({"error": text}, status, headers)


def status_of(error: MeshError) -> int:
    """The HTTP status of an error: the first class that fits decides."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def install(app: FastAPI) -> None:
    """Have every error of an application answered in this shape."""
    app.exception_handler(Refused)(_refused)
    app.exception_handler(MeshError)(_mesh_error)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http_error)


async def _refused(_request: Request, error: Refused) -> JSONResponse:
    return error_answer(error.status, str(error))


async def _mesh_error(_request: Request, error: MeshError) -> JSONResponse:
    return error_answer(status_of(error), str(error).partition("\n  ")[0].rstrip(":"))


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    faults = [{**each, "loc": tuple(each.get("loc", ()))[1:]} for each in error.errors()]
    return error_answer(400, _fault(faults, ""))


async def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    if error.status_code in (404, 405):
        return error_answer(404, "Not found")
    return error_answer(error.status_code, str(error.detail) or HTTPStatus(error.status_code).phrase)
