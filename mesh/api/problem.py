"""Errors as `application/problem+json` (RFC 9457): one shape for refusals of ours and of the framework's."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mesh.api.dht_answers import NobodyToAsk
from mesh.errors import (
    ConfigError,
    DialError,
    LimitError,
    MeshError,
    RecordNotFound,
    StorageError,
    TimedOut,
    UsageError,
)
from mesh.network.gater import Denied

CONTENT_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[MeshError], int], ...] = (
    (UsageError, 400),
    (Denied, 403),
    (LimitError, 503),
    (StorageError, 500),
    (ConfigError, 500),
    (TimedOut, 504),
    (MeshError, 502),
)
"""The first class that fits decides; what remains is the peer's or the network's fault."""


class UnknownPeer(UsageError):  # noqa: N818 - a condition, as the code names it
    """No connection to this peer."""

    code = "unknown-peer"


class UnknownRule(UsageError):  # noqa: N818
    """Nothing was said of this subject."""

    code = "unknown-rule"


class NotAvailable(UsageError):  # noqa: N818
    """This node was built without the part that was asked for."""

    code = "not-available"


def problem_of(error: MeshError) -> dict[str, Any]:
    """The body that describes an error of ours."""
    message = str(error)
    extra: dict[str, Any] = {}
    if isinstance(error, DialError) and error.failures:
        message = message.partition("\n  ")[0].rstrip(":")
        extra["failures"] = [
            {"address": each.address, "stage": each.stage, "cause": each.cause} for each in error.failures
        ]
    if isinstance(error, LimitError):
        extra["limit"] = {"scope": error.scope, "name": error.limit, "value": error.value, "key": error.key}
    return problem(status_of(error), error.code, message) | extra


def status_of(error: MeshError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, UnknownPeer | UnknownRule | RecordNotFound):
        return 404
    if isinstance(error, NobodyToAsk):
        return 503
    if isinstance(error, NotAvailable):
        return 501
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """A problem body."""
    title = HTTPStatus(status).phrase
    return {
        "type": f"urn:mesh:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }


def answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """A response with this problem."""
    return JSONResponse(body, body["status"], headers, media_type=CONTENT_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of an application answered in this shape."""
    app.exception_handler(MeshError)(_mesh_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)


async def _mesh_error(_request: Request, error: MeshError) -> JSONResponse:
    return answer(problem_of(error))


async def _invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    faults: Sequence[Any] = error.errors()
    if any(each.get("type") == "json_invalid" for each in faults):
        return answer(problem(400, "malformed-json", "the body is not JSON"))
    body = problem(422, "invalid-request", "; ".join(map(_in_words, faults)))
    body["fields"] = [{"field": _place(each), "fault": str(each.get("msg", ""))} for each in faults]
    return answer(body)


async def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return answer(problem(error.status_code, code, str(error.detail)), dict(error.headers or {}))


def _in_words(fault: Any) -> str:
    return f"{_place(fault)}: {fault.get('msg', '')}"


def _place(fault: Any) -> str:
    return ".".join(str(part) for part in fault.get("loc", ())[1:]) or "body"
