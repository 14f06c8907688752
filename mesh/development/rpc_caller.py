"""Asking a ledger by JSON-RPC over HTTP: what the facilitator of development needs of it."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, Final

import httpx

from mesh.errors import NetworkError

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
POLL_S: Final = 0.05


class LedgerRefused(NetworkError):  # noqa: N818 - a condition of the ledger
    """The ledger answered with an error; the message is its own."""

    code = "ledger-refused"


class RpcCaller:
    """A ledger at ``url``. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._numbers = count(1)

    async def ask(self, method: str, *parameters: object) -> Any:
        """One call's result. Raises `LedgerRefused`, and `NetworkError` when there is no answer."""
        body = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": list(parameters)}
        try:
            answer = await self._http.post(self._url, json=body)
            found = answer.raise_for_status().json() if len(answer.content) <= MAX_ANSWER_BYTES else None
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise NetworkError(f"the ledger at {self._url} does not answer {method}: {error!r}") from None
        if not isinstance(found, dict):
            raise NetworkError(f"the ledger at {self._url} answers {method} with no object")
        if found.get("error") is not None:
            failed = found["error"]
            raise LedgerRefused(str(failed.get("message") if isinstance(failed, dict) else failed))
        return found.get("result")

    async def call(self, to: str, data: bytes) -> bytes:
        """The output of code, run without a transaction."""
        found = await self.ask("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
        return _bytes(found)

    async def number(self, method: str, *parameters: object) -> int:
        """The result of a method that answers with a quantity."""
        return _number(await self.ask(method, *parameters))

    async def latest_time(self) -> int:
        """Seconds since 1970 of the latest block."""
        block = await self.ask("eth_getBlockByNumber", "latest", False)
        return _number(block.get("timestamp") if isinstance(block, dict) else None)

    async def receipt(self, transaction: str, within_s: float) -> dict[str, Any] | None:
        """Of a transaction once it is in a block; None when it is in none after ``within_s``."""
        end = asyncio.get_running_loop().time() + within_s
        while True:
            found = await self.ask("eth_getTransactionReceipt", transaction)
            if isinstance(found, dict):
                return found
            if asyncio.get_running_loop().time() >= end:
                return None
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        await self._http.aclose()


def _number(found: object) -> int:
    try:
        return int(found, 16) if isinstance(found, str) else int(str(found))
    except ValueError:
        raise NetworkError(f"the ledger answers {str(found)[:80]!r} where a number belongs") from None


def _bytes(found: object) -> bytes:
    try:
        return bytes.fromhex(str(found).removeprefix("0x"))
    except ValueError:
        raise NetworkError(f"the ledger answers {str(found)[:80]!r} where bytes belong") from None
