"""The private chain's JSON-RPC over HTTP."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from fastapi import FastAPI, Request, Response

from mesh.development.chain import PrivateChain
from mesh.development.rpc import ChainRpc
from mesh.development.serving import LoopbackServer

LISTEN = "127.0.0.1:8545"


class ChainServer:
    """A chain that is served while this is entered: `POST /`. It is this process's own and ends with it."""

    def __init__(self, chain: PrivateChain, listen: str = "127.0.0.1:0") -> None:
        self.chain = chain
        self._server = LoopbackServer(_application(ChainRpc(chain)), listen, frozenset(["/"]))
        self._mining: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.start()
        if self.chain.plan.block_time_s:
            self._mining = asyncio.create_task(self._mine(), name="private chain")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._mining is not None:
            self._mining.cancel()
            await asyncio.wait([self._mining])
        await self._server.stop()

    async def _mine(self) -> None:
        while True:
            await asyncio.sleep(self.chain.plan.block_time_s)
            self.chain.mine()


def _application(rpc: ChainRpc) -> FastAPI:
    app = FastAPI(title="private chain", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/")
    async def answer(request: Request) -> Response:
        return Response(rpc.answer(await request.body()), media_type="application/json")

    return app
