"""`mesh market chain` and `facilitator`: a ledger for development, and who settles on it. Worth nothing."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Protocol

import typer

from mesh.console.output import say
from mesh.errors import ConfigError, UsageError

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

    from mesh.extras import load_chain, load_signing

    load_chain()
    load_signing()
    from mesh.development.chain import ETHER, ChainPlan, PrivateChain
    from mesh.development.chain_server import ChainServer
    from mesh.development.token import SEPOLIA_ADDRESS

    balances = dict(map(_balance, fund or ()))
    plan = ChainPlan(
        chain_id, _address(token or SEPOLIA_ADDRESS), block_time, balances, dict.fromkeys(balances, ETHER)
    )
    server = ChainServer(PrivateChain(plan, time.time), listen)
    return _serve(server, [f"chain {chain_id}", f"token {_checksummed(plan.token)}"])


def facilitator(
    ledger: Annotated[
        str, typer.Option(metavar="URL", help="JSON-RPC of the chain to settle on.")
    ] = "http://127.0.0.1:8545",
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to answer.")] = "127.0.0.1:8402",
    token: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The token that is paid with. [USDC of Base Sepolia]"),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Who pays the gas: 64 hexadecimal digits. [a new one, filled by the chain]"
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:SECONDS][@verify]",
            help="What goes wrong with the next settlement, once for each: lost, late, duplicate, lie-paid, ...",
        ),
    ] = None,
) -> int:
    """Verify and settle payments on a chain of development until SIGINT or SIGTERM. Needs the extra market."""
    from mesh.extras import load_signing

    load_signing()
    from mesh.development.facilitator import Facilitator
    from mesh.development.facilitator_server import FacilitatorServer
    from mesh.development.faults import FaultScript, fault_named
    from mesh.development.rpc_caller import RpcCaller
    from mesh.development.token import SEPOLIA_ADDRESS

    script = FaultScript(map(fault_named, fault or ()))
    contract = _checksummed(_address(token or SEPOLIA_ADDRESS))
    own = Facilitator(RpcCaller(ledger), contract=contract, key=None if key is None else _key_in(key))
    server = FacilitatorServer(own, listen, script)
    return _serve(server, [f"token {contract}", f"settles from {own.account.address}"])


def _serve(server: AbstractAsyncContextManager[Served], lines: list[str]) -> int:
    from mesh.console.running import run_async
    from mesh.console.serving import StopSignal

    async def run() -> int:
        stop = StopSignal()
        stop.install()
        async with server as served:
            for line in (*lines, f"url {served.url}", "ready"):
                say(line)
            await stop.wait()
        return 0

    return run_async(run())


def _key_in(path: Path) -> bytes:
    try:
        found = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ConfigError(f"cannot read the key {path}: {error.strerror}") from None
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ConfigError(f"{path} does not hold 64 hexadecimal digits")
    return found


def _balance(text: str) -> tuple[bytes, int]:
    address, _, amount = text.partition("=")
    whole, _, part = amount.partition(".")
    if not (whole + part).isdecimal() or not (whole + part).isascii() or len(part) > 6 or len(whole) > 12:
        raise UsageError(f"{text!r} is not ADDRESS=USDC")
    return _address(address), int(whole or 0) * UNITS + int(part.ljust(6, "0") or 0)


def _checksummed(address: bytes) -> str:
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)


def _address(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 20:
        raise UsageError(f"{text!r} is no address")
    return found
