"""The facilitator over HTTP, with the faults it is told to make.

`POST /verify`, `POST /settle` and `GET /supported` are those of x402; `POST /faults` takes a list of faults as text
(`lost`, `late:2.5`, `lie-paid@verify`), `DELETE /faults` takes back those that wait, `GET /calls` tells what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from fastapi import FastAPI, Request, Response

from mesh.development.facilitator import Answer, Facilitator
from mesh.development.faults import Fault, FaultScript, Kind, fault_named
from mesh.development.serving import LoopbackServer
from mesh.errors import NetworkError, UsageError

LISTEN: Final = "127.0.0.1:8402"
PATHS: Final = frozenset(["/verify", "/settle", "/supported", "/health", "/faults", "/calls"])
MAX_CALLS_KEPT: Final = 10_000
BOMB_BYTES: Final = 4 * 1024 * 1024
NO_TRANSACTION: Final = "0x" + "ab" * 32


class FacilitatorServer:
    """A facilitator that is served while this is entered. ``faults`` may be added at any time; ``calls`` are the routes
    that were asked, with the fault each met."""

    def __init__(
        self, facilitator: Facilitator, listen: str = "127.0.0.1:0", faults: FaultScript | None = None
    ) -> None:
        self.facilitator = facilitator
        self.faults = faults or FaultScript()
        self.calls: deque[dict[str, str]] = deque(maxlen=MAX_CALLS_KEPT)
        self._answered = {"settle": asyncio.Event(), "verify": asyncio.Event()}
        self._server = LoopbackServer(self._application(), listen, PATHS)

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> Self:
        await self.facilitator.start()
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.stop()
        await self.facilitator.ledger.close()

    # -- routes ------------------------------------------------------------------------------------------------------

    def _application(self) -> FastAPI:
        app = FastAPI(title="facilitator", docs_url=None, redoc_url=None, openapi_url=None)
        app.post("/verify")(self._verify)
        app.post("/settle")(self._settle)
        app.get("/supported")(self._supported)
        app.get("/health")(self._health)
        app.get("/calls")(self._calls)
        app.post("/faults")(self._add_faults)
        app.delete("/faults")(self._clear_faults)
        return app

    async def _verify(self, request: Request) -> Response:
        return await self._answer("verify", request, self.facilitator.verify)

    async def _settle(self, request: Request) -> Response:
        return await self._answer("settle", request, self.facilitator.settle)

    async def _supported(self) -> Answer:
        return self.facilitator.supported()

    async def _health(self) -> Answer:
        return {"status": "ok"}

    async def _calls(self) -> list[dict[str, str]]:
        return list(self.calls)

    async def _add_faults(self, request: Request) -> Response:
        try:
            given = json.loads(await request.body())
            if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
                raise UsageError("faults are a list of texts")
            self.faults.add(*map(fault_named, given))
        except (ValueError, RecursionError, UsageError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"waiting": len(self.faults)})

    async def _clear_faults(self) -> Answer:
        self.faults.clear()
        return {"waiting": 0}

    # -- calls and their faults --------------------------------------------------------------------------------------

    async def _answer(self, route: str, request: Request, work: Callable[..., Awaitable[Answer]]) -> Response:
        fault = self.faults.take(route)
        self.calls.append({"route": route, "fault": fault.kind.value if fault else ""})
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _json({"error": "the body is not JSON"}, 400)
        try:
            if fault is None:
                return _json(await work(body))
            return await self._with_fault(fault, request, body, work)
        except NetworkError as error:
            return _json({"error": str(error)}, 502)
        finally:
            self._answered[route].set()
            self._answered[route] = asyncio.Event()

    async def _with_fault(
        self, fault: Fault, request: Request, body: Any, work: Callable[..., Awaitable[Answer]]
    ) -> Response:
        early = await self._before(fault, request)
        if early is not None:
            return early
        if fault.kind is Kind.DUPLICATE and fault.on == "settle":
            return _json(await self.facilitator.settle(body, times=2))
        return await self._after(fault, request, await work(body))

    async def _before(self, fault: Fault, request: Request) -> Response | None:
        """What happens instead of the work, or before it."""
        kind = fault.kind
        if kind is Kind.SLOW:
            await asyncio.sleep(fault.seconds)
        if kind is Kind.REORDER:
            later = self._answered[fault.on]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    await later.wait()
        if kind is Kind.UNHEARD:
            self._server.drop(request.client)
        if kind is Kind.DOWN or kind is Kind.UNHEARD:
            return _json({"error": "down"}, 503)
        if kind is Kind.LIE_PAID or kind is Kind.LIE_OTHER:
            last = self.facilitator.last_transaction if kind is Kind.LIE_OTHER else ""
            return _json({"isValid": True, "success": True, "transaction": last or NO_TRANSACTION})
        return None

    async def _after(self, fault: Fault, request: Request, done: Answer) -> Response:
        """What becomes of the answer once the work is done."""
        kind = fault.kind
        if kind is Kind.LATE:
            await asyncio.sleep(fault.seconds)
        if kind is Kind.SILENT:
            await self._server.hold(request)
        if kind is Kind.LOST:
            self._server.drop(request.client)
        if kind is Kind.GARBAGE:
            return Response(b"<html>It works!</html>", media_type="text/html")
        if kind is Kind.BOMB:
            return Response(b"[" * BOMB_BYTES, media_type="application/json")
        if kind is Kind.LIE_FAILED:
            why = "unexpected_settle_error"
            return _json({"isValid": False, "success": False, "errorReason": why, "invalidReason": why})
        return _json(done)


def _json(answer: Answer, status: int = 200) -> Response:
    """JSON and a newline, as Go's servers end it."""
    return Response(json.dumps(answer) + "\n", status, media_type="application/json")
