"""How the marketplace's API answers and reads: JSON as Go writes it and a newline, errors as plain text and a newline.

Bodies are read as Go reads them: keys without regard to case, unknown ones ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mesh.apps.market.workflows import UnknownWorkflow
from mesh.errors import ConfigError, DecodeError, LimitError, Malformed, MeshError, StorageError, UsageError
from mesh.go_json import Record, write_json
from mesh.go_json.records import tree_of

JSON: Final = "application/json"
R = TypeVar("R", bound=Record)


class Refused(Exception):  # noqa: N818 - an answer, as HTTP names it
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def answer(value: Any, status: int = 200) -> Response:
    """A record, or a tree of what JSON has a form for."""
    return Response(write_json(tree_of(value)) + b"\n", status, media_type=JSON)


def answer_list(values: Iterable[Any]) -> Response:
    """A list, `[]` if there is nothing in it."""
    return answer(list(values))


def refusal(status: int, text: str) -> Response:
    """An error."""
    return Response(text + "\n", status, media_type="text/plain")


async def body_of(request: Request, kind: type[R]) -> R:
    """The body as a record. Raises `Refused`."""
    try:
        return kind.read(await request.body())
    except Malformed as error:
        raise Refused(400, f"invalid request: {error.reason}") from None


def status_of(error: MeshError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, UnknownWorkflow):
        return 404
    if isinstance(error, UsageError | DecodeError | ConfigError):
        return 400
    if isinstance(error, LimitError | StorageError):
        return 503
    return 500


def install(app: FastAPI) -> None:
    """Have every error of an application answered in this shape."""
    app.exception_handler(Refused)(_refused)
    app.exception_handler(MeshError)(_mesh_error)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http_error)


async def _refused(_request: Request, error: Refused) -> Response:
    return refusal(error.status, str(error))


async def _mesh_error(_request: Request, error: MeshError) -> Response:
    return refusal(status_of(error), str(error).partition("\n")[0])


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    return refusal(400, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")


async def _http_error(_request: Request, error: HTTPException) -> Response:
    if error.status_code in (404, 405):
        return refusal(404, "404 page not found")
    return refusal(error.status_code, str(error.detail))
