"""The marketplace shown: seller and buyer in processes of their own, on loopback, paying on a private chain.

A listing appears, work is bought, settled and seen on the chain; the seller is killed when the chain has paid it and it
does not know yet, is started again, and the same purchase is delivered without a second payment; two agents work one
after the other; a listing disappears.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from mesh.development import token
from mesh.development.programs import Program, ProgramFailed
from mesh.development.rpc_caller import RpcCaller
from mesh.errors import NetworkError
from mesh.extras import load_chain, load_signing

PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.05
FUNDS_UNITS: Final = 5_000_000
LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
AGENTS: Final = """
[[agent]]
name = "reverse"
description = "The other way round."
price = 0.1
capabilities = ["text"]
python = "mesh.development.market_demo:reverse"
"""
UPPER: Final = {
    "name": "upper",
    "description": "Capital letters.",
    "price": 0.25,
    "capabilities": ["text"],
    "command": [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())"],
}

Tell = Callable[[str], None]


def reverse(text: str) -> str:
    """What the agent of that name does."""
    return text[::-1]


class Node:
    """A node of `mesh market serve` in a folder of its own, asked over its API. ``words`` are further options."""

    def __init__(self, folder: Path, http: httpx.AsyncClient, *words: str) -> None:
        self._folder = folder
        self._http = http
        self._words = words
        self.program = self._program(LISTEN)

    @property
    def peer(self) -> str:
        return self.program.said["peer"]

    @property
    def address(self) -> str:
        return self.program.said["listening"]

    async def restart(self, *peers: str) -> None:
        """Start again where it listened before, and connect to peers. Raises `ProgramFailed`."""
        address = self.address.partition("/p2p/")[0]
        self.program = self._program(address, *peers)
        await self.program.start()

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The API's answer. Raises `NetworkError` for a refusal."""
        secret = (self._folder / "market.token").read_text().strip()
        answer = await self._http.request(
            method,
            self.program.said["market api"] + path,
            json=body,
            headers={"authorization": f"Bearer {secret}"},
        )
        if answer.is_error:
            raise NetworkError(answer.text.strip())
        return answer.json()

    async def listing(self, name: str) -> dict[str, Any] | None:
        """The listing of that name that this node knows."""
        found = await self.ask("GET", "/listings")
        return next((each for each in found if each["listing"]["name"] == name), None)

    async def purchase(self, purchase_id: str) -> dict[str, Any] | None:
        found = await self.ask("GET", "/purchases")
        return next((each for each in found if each["id"] == purchase_id), None)

    def _program(self, listen: str, *peers: str) -> Program:
        fixed = (
            "--path",
            str(self._folder),
            "--api",
            "off",
            "--market-api",
            "127.0.0.1:0",
            "--listen",
            listen,
        )
        met = [word for each in peers for word in ("--bootstrap", each)]
        return Program("serve", *fixed, *self._words, *met)


class MarketDemo(AsyncExitStack):
    """One run; ``tell`` gets a line for each thing that was seen to happen."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._chain = Program("chain", "--listen", "127.0.0.1:0")

    async def run(self) -> None:
        """Raises `ProgramFailed` when something does not come true."""
        load_chain()
        load_signing()
        await self._open()
        await self._listed()
        await self._bought()
        await self._killed()
        await self._workflow()
        await self._delisted()
        await self._balances()

    # -- the parties -------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        folder = Path(self.enter_context(TemporaryDirectory(prefix="mesh-demo-")))
        self._http = await self.enter_async_context(httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False))
        await self.enter_async_context(self._chain)
        self._ledger = RpcCaller(self._chain.said["url"])
        self.push_async_callback(self._ledger.close)
        words = ("facilitator", "--listen", "127.0.0.1:0", "--ledger", self._chain.said["url"])
        self._facilitator = await self.enter_async_context(Program(*words))
        (folder / "agents.toml").write_text(AGENTS)
        agents = ("--agents", str(folder / "agents.toml"), "--announce-interval", "5")
        self.seller = self._node(folder / "seller", *agents)
        await self.seller.program.start()
        self.buyer = self._node(folder / "buyer", "--bootstrap", self.seller.address)
        await self.buyer.program.start()
        self._wallets = [
            (await each.ask("GET", "/status"))["walletAddress"] for each in (self.seller, self.buyer)
        ]
        await self._ledger.ask("mesh_fund", self._wallets[1], "0x0", hex(FUNDS_UNITS))
        self._tell(
            f"chain {self._chain.said['chain']} with token {self._chain.said['token']}, and a facilitator"
        )
        self._tell(f"buyer has {_usdc(await self._units(1))} USDC")

    def _node(self, folder: Path, *words: str) -> Node:
        money = (
            *("--rpc-url", self._chain.said["url"]),
            *("--facilitator-url", self._facilitator.said["url"]),
        )
        node = Node(folder, self._http, *words, *money)

        async def stop() -> None:
            await node.program.stop()

        self.push_async_callback(stop)
        return node

    # -- what is shown -----------------------------------------------------------------------------------------------

    async def _listed(self) -> None:
        await self._until("the listing of reverse", lambda: self.buyer.listing("reverse"))
        await self.seller.ask("POST", "/agents", UPPER)
        started = time.monotonic()
        found = await self._until("the listing of upper", lambda: self.buyer.listing("upper"))
        trust = "verified" if found["verified"] else "unverified"
        self._tell(
            f"listed: upper for 0.25 USDC, {trust} at the buyer after {time.monotonic() - started:.2f} s"
        )

    async def _bought(self) -> None:
        done = await self._execute("upper", "good morning", str(uuid.uuid4()))
        amount = _usdc(int(done["amount"]))
        self._tell(f"bought: good morning -> {done['output']} for {amount} USDC")
        self._tell(f"settled: {await self._receipt(done['txHash'])}")

    async def _killed(self) -> None:
        """The facilitator settles and never says so; then the seller is gone, and comes back."""
        before, name = await self._units(0), str(uuid.uuid4())
        await self._http.post(f"{self._facilitator.said['url']}/faults", json=["silent"])
        asking = asyncio.create_task(self._execute("upper", "good night", name))

        async def paid() -> bool:
            return await self._units(0) > before

        await self._until("the settlement", paid)
        await self.seller.program.kill()
        outcome = await asyncio.gather(asking, return_exceptions=True)
        if not isinstance(outcome[0], NetworkError):
            raise ProgramFailed(f"the purchase from a seller that was killed ended so: {outcome[0]!r}")
        state = await self.buyer.purchase(name)
        self._tell(
            f"killed: the seller, when the chain had paid it and it did not know; purchase {_state(state)}"
        )
        await self.seller.restart(self.buyer.address)

        async def delivered() -> bool:
            return _state(await self.buyer.purchase(name)) == "delivered"

        await self._until("the delivery", delivered)
        output = (await self._execute("upper", "good night", name))["output"]
        again = _usdc(await self._units(0) - before)
        self._tell(f"restarted: the same purchase is delivered: good night -> {output}, {again} USDC in all")

    async def _workflow(self) -> None:
        agents = [await self._agent("upper"), await self._agent("reverse")]
        body = {"agentIds": agents, "input": "hello", "budget": 1.0}
        made = await self.buyer.ask("POST", "/workflows", body)

        async def ended() -> Any:
            found = await self.buyer.ask("GET", f"/workflows/{made['id']}")
            return found if found["status"] not in ("pending", "running") else None

        done = await self._until("the workflow", ended)
        self._tell(
            f"workflow: upper, reverse: hello -> {done.get('output')}, {done['status']}, {done['totalCost']} USDC"
        )

    async def _delisted(self) -> None:
        agent = await self._agent("upper")
        await self.seller.ask("DELETE", f"/agents/{agent}")
        started = time.monotonic()

        async def gone() -> bool:
            return await self.buyer.listing("upper") is None

        await self._until("the end of the listing", gone)
        self._tell(f"delisted: upper is gone at the buyer after {time.monotonic() - started:.2f} s")

    async def _balances(self) -> None:
        seller, buyer = _usdc(await self._units(0)), _usdc(await self._units(1))
        self._tell(f"the chain says: buyer {buyer} USDC, seller {seller} USDC")

    # -- within ------------------------------------------------------------------------------------------------------

    async def _agent(self, name: str) -> str:
        found = await self._until(f"the listing of {name}", lambda: self.buyer.listing(name))
        return str(found["listing"]["id"])

    async def _execute(self, name: str, text: str, purchase: str) -> Any:
        body = {"input": text, "purchaseId": purchase}
        return await self.buyer.ask("POST", f"/agents/{await self._agent(name)}/execute", body)

    async def _units(self, party: int) -> int:
        """What the seller (0) or the buyer (1) has, as the chain says."""
        wallet = bytes.fromhex(self._wallets[party][2:])
        return int.from_bytes(
            await self._ledger.call(self._chain.said["token"], token.balance_call(wallet)), "big"
        )

    async def _receipt(self, transaction: str) -> str:
        receipt = await self._ledger.receipt(transaction, 0)
        if receipt is None or receipt["status"] != "0x1":
            raise ProgramFailed(f"the chain has no receipt of {transaction}")
        return f"transaction {transaction[:10]}... in block {int(receipt['blockNumber'], 16)}, status 1"

    async def _until(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """What is found, once something is. Raises `ProgramFailed`."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (found := await look()):  # noqa: ASYNC110 - processes and a chain
                    await asyncio.sleep(LOOK_S)
                return found
        except TimeoutError:
            raise ProgramFailed(f"{what} did not come in {PATIENCE_S:g} s") from None


def _state(purchase: dict[str, Any] | None) -> str:
    return "missing" if purchase is None else str(purchase["state"])


def _usdc(units: int) -> str:
    return f"{Decimal(units) / 10**token.DECIMALS:f}"
