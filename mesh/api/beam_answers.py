"""How `/v1` answers: Beam's shape of errors, and its limits of rate (Beam digest, section 10)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mesh.api.problem import status_of
from mesh.apps.beam.name_book import NameDisputed
from mesh.apps.beam.ownership import NameTaken
from mesh.errors import LimitError, MeshError, RecordNotFound, UsageError
from mesh.network.gater import Denied
from mesh.protocols.allowance import Allowance

PREFIX: Final = "/v1"
_READING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one kind of request may come."""

    most: int
    span_s: int
    burst: int


READING, WRITING, TUNNELS, DOMAINS = "reading", "writing", "tunnels", "domains"
RATES: Final = {
    READING: Rate(1000, 60, 100),
    WRITING: Rate(100, 60, 10),
    TUNNELS: Rate(10, 60, 2),
    DOMAINS: Rate(50, 3600, 5),
}
_CREATING: Final = {f"{PREFIX}/tunnels": TUNNELS, f"{PREFIX}/names": DOMAINS}


def kind_of(method: str, path: str) -> str:
    """By which rate a request goes: tunnels that are opened and names that are claimed have their own."""
    if method in _READING:
        return READING
    return _CREATING.get(path, WRITING) if method == "POST" else WRITING


class Gate:
    """The rates of one API, each kind of request apart. There is one key, so one of each."""

    def __init__(self) -> None:
        self._left = {kind: Allowance(rate.most / rate.span_s, rate.burst) for kind, rate in RATES.items()}

    def take(self, kind: str) -> tuple[bool, dict[str, str]]:
        """Whether a request may go on, and the headers that tell the limits."""
        allowed = self._left[kind].take(time.monotonic())
        rate = RATES[kind]
        headers = {
            "X-RateLimit-Limit": str(rate.most),
            "X-RateLimit-Remaining": str(int(self._left[kind].left(time.monotonic()))),
            "X-RateLimit-Reset": str(int(time.time()) + rate.span_s),
            "X-RateLimit-Burst": str(rate.burst),
        }
        return allowed, headers


class BeamRoute(APIRoute):
    """A route whose errors have Beam's shape, and that keeps to the rates."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def kept(request: Request) -> Response:
            kind = kind_of(request.method, request.scope["path"])
            allowed, headers = request.app.state.beam_gate.take(kind)
            if not allowed:
                text = "too many requests: wait for what X-RateLimit-Reset says"
                rate = RATES[kind]
                wait = {"Retry-After": str(ceil(rate.span_s / rate.most))}
                return _answer(429, "RATE_LIMIT_EXCEEDED", text, {}, headers | wait)
            try:
                response = await handle(request)
            except MeshError as error:
                return _answer(_status(error), _code(error), *_said(error), headers)
            except RequestValidationError as error:
                faults = [
                    {"field": _place(each), "fault": str(each.get("msg", ""))} for each in error.errors()
                ]
                return _answer(
                    422, "VALIDATION_ERROR", "the request is not valid", {"fields": faults}, headers
                )
            except HTTPException as error:
                return _answer(
                    error.status_code, _http_code(error.status_code), str(error.detail), {}, headers
                )
            response.headers.update(headers)
            return response

        return kept


def refused(status: int, code: str, message: str, headers: dict[str, str]) -> JSONResponse:
    """What the guard refuses, in Beam's shape."""
    name = {401: "AUTHENTICATION_FAILED", 403: "INSUFFICIENT_PERMISSIONS"}.get(status, "VALIDATION_ERROR")
    return _answer(status, name, message, {"problem": code}, headers)


def _answer(
    status: int, code: str, message: str, details: dict[str, Any], headers: dict[str, str]
) -> JSONResponse:
    error = {
        "code": code,
        "message": message,
        "details": details,
        "request_id": str(uuid.uuid4()),
        "timestamp": time.time_ns() // 1_000_000,
    }
    return JSONResponse({"error": error}, status, headers)


def _status(error: MeshError) -> int:
    if isinstance(error, NameTaken | NameDisputed):
        return 409
    return status_of(error)


def _code(error: MeshError) -> str:
    """Beam's name for it; what it has none for keeps ours, in capitals."""
    if isinstance(error, NameTaken):
        return "DOMAIN_ALREADY_EXISTS"
    if isinstance(error, RecordNotFound):
        return "RESOURCE_NOT_FOUND"
    if isinstance(error, LimitError):
        return "TUNNEL_LIMIT_EXCEEDED"
    if isinstance(error, Denied):
        return "INSUFFICIENT_PERMISSIONS"
    if type(error) is UsageError:
        return "VALIDATION_ERROR"
    return error.code.upper().replace("-", "_")


def _said(error: MeshError) -> tuple[str, dict[str, Any]]:
    details: dict[str, Any] = {"problem": error.code}
    if isinstance(error, NameDisputed):
        details["claims"] = [str(each) for each in error.claims]
    return str(error).partition("\n  ")[0].rstrip(":"), details


def _http_code(status: int) -> str:
    return "RESOURCE_NOT_FOUND" if status == 404 else HTTPStatus(status).phrase.upper().replace(" ", "_")


def _place(fault: Any) -> str:
    return ".".join(str(part) for part in fault.get("loc", ())[1:]) or "body"
