"""`mesh market chain`: a ledger for development, worth nothing."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Protocol

import typer

from mesh.console.output import say
from mesh.errors import UsageError

UNITS = 10**6


class Served(Protocol):
    """A server that has been entered."""

    @property
    def url(self) -> str: ...


def chain(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to answer JSON-RPC.")
    ] = "127.0.0.1:8545",
    fund: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS=USDC", help="Who has how much of the token at first, and one ether."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where the token stands. [USDC of Base Sepolia]")
    ] = None,
    chain_id: Annotated[int, typer.Option("--chain-id", min=1, help="Number of the chain.")] = 84532,
    block_time: Annotated[
        float,
        typer.Option("--block-time", min=0, max=3600, metavar="S", help="Seconds; 0: at once."),
    ] = 0.0,
) -> int:
    """Run a private chain with a token until SIGINT or SIGTERM; it is gone then. Needs the extras chain and market."""
    import time

    from mesh.development.chain import ETHER, ChainPlan, PrivateChain
    from mesh.development.chain_server import ChainServer
    from mesh.development.token import SEPOLIA_ADDRESS

    balances = dict(map(_balance, fund or ()))
    plan = ChainPlan(
        chain_id, _address(token or SEPOLIA_ADDRESS), block_time, balances, dict.fromkeys(balances, ETHER)
    )
    server = ChainServer(PrivateChain(plan, time.time), listen)
    return _serve(server, [f"chain {chain_id}", f"token 0x{plan.token.hex()}"])


def _serve(server: AbstractAsyncContextManager[Served], lines: list[str]) -> int:
    from mesh.console.running import run_async
    from mesh.console.serving import StopSignal

    async def run() -> int:
        stop = StopSignal()
        stop.install()
        async with server as served:
            for line in (*lines, f"url {served.url}", "ready"):
                say(line)
            sys.stdout.flush()
            await stop.wait()
        return 0

    return run_async(run())


def _balance(text: str) -> tuple[bytes, int]:
    address, _, amount = text.partition("=")
    whole, _, part = amount.partition(".")
    if not (whole + part).isdecimal() or not (whole + part).isascii() or len(part) > 6 or len(whole) > 12:
        raise UsageError(f"{text!r} is not ADDRESS=USDC")
    return _address(address), int(whole or 0) * UNITS + int(part.ljust(6, "0") or 0)


def _address(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 20:
        raise UsageError(f"{text!r} is no address")
    return found
