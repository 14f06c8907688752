"""A seller and a buyer as processes of their own, which kill themselves (SIGKILL) at a step of their machines.

They are forked from a server that has loaded everything, so that one is there in a moment. What a process keeps is in its
folder: key, payments, and for each time that the seller did its work a line in `work`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from mesh.apps.market.frames import FrameService, exchange
from mesh.apps.market.payments.facilitator import WebFacilitator
from mesh.apps.market.payments.ledger import RpcLedger
from mesh.apps.market.payments.purse import Exchanging, Purse
from mesh.apps.market.payments.store import FILE_NAME, PaymentStore
from mesh.apps.market.payments.till import Till
from mesh.apps.market.payments.wallet import Wallet
from mesh.codecs.market import Frame
from mesh.config import Config, NetworkSection, NodeSection
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.market import PAID_PROTOCOL_ID
from mesh.protocols.x402.records import PurchaseState
from mesh.protocols.x402.steps import Step
from tests.protocols.x402.vectors import BUYER_KEY, SELLER_KEY, USDC

PURCHASE: Final = "the purchase"
INPUT: Final = "2+2"


@dataclass(frozen=True)
class Place:
    """Where a process lives, and whom it asks. ``kill_at`` is the number of the step at which it kills itself: before it
    is performed, or when it was."""

    folder: Path
    rpc_url: str
    facilitator_url: str = ""
    address: str = ""
    kill_at: int | None = None
    after: bool = False


class Fatal:
    """Counts steps, and ends the process at one."""

    def __init__(self, place: Place, tell: Connection) -> None:
        self._place = place
        self._tell = tell
        self._steps = 0

    def check(self, step: Step, after: bool) -> None:
        place = self._place
        if self._steps == place.kill_at and after == place.after:
            self._tell.send(("killed", f"{'after' if after else 'before'} {type(step).__name__}"))
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps += after


class FatalTill(Till):
    """A till that may kill its process at a step."""

    fatal: Fatal

    async def _perform(self, step: Step) -> Any:
        self.fatal.check(step, after=False)
        came = await super()._perform(step)
        self.fatal.check(step, after=True)
        return came


class FatalPurse(Purse):
    """A purse that may kill its process at a step."""

    fatal: Fatal

    async def _perform(self, exchange: Exchanging | None, step: Step) -> Any:
        self.fatal.check(step, after=False)
        came = await super()._perform(exchange, step)
        self.fatal.check(step, after=True)
        return came


class Bench:
    """Sells an echo, and writes down each time that it did."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "work"

    def price(self, resource: str) -> int | None:
        return 1000 if resource == "agent" else None

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        with self._file.open("a") as file:
            file.write(f"{purchase_id}\n")
        return f"echo: {input_text}"


def sell(place: Place, tell: Connection) -> None:
    """The seller's process: tells its address, then how many sales are open, again and again."""
    asyncio.run(_sell(place, tell))


def buy(place: Place, tell: Connection) -> None:
    """The buyer's process: buys, or takes up what it was at; tells the purchase each time that it looked."""
    asyncio.run(_buy(place, tell))


async def _sell(place: Place, tell: Connection) -> None:
    async with _living(place, ("/ip4/127.0.0.1/tcp/0",)) as (node, store, ledger, stack):
        facilitator = await stack.enter_async_context(WebFacilitator(place.facilitator_url))
        till = FatalTill(
            Bench(place.folder),
            store,
            USDC,
            wallet=Wallet(SELLER_KEY),
            ledger=ledger,
            facilitator=facilitator,
        )
        till.fatal = Fatal(place, tell)

        async def answer(kind: str, data: bytes, remote: PeerId) -> Frame:
            return Frame(*await till.answer(kind, data, remote))

        await till.recover()
        node.handle(PAID_PROTOCOL_ID, FrameService("market.paid", answer, node.counters).serve)
        tell.send(("address", f"{node.listen_addrs[0]}/p2p/{node.peer_id}"))
        while True:
            await asyncio.sleep(0.05)
            tell.send(("open", await till.recover()))


async def _buy(place: Place, tell: Connection) -> None:
    async with _living(place, ()) as (node, store, ledger, _):
        seller = PeerId.parse(place.address.rpartition("/p2p/")[2])

        async def put(kind: str, data: bytes) -> tuple[str, bytes]:
            await node.connect(place.address)
            frame = await exchange(
                node, seller, PAID_PROTOCOL_ID, Frame(kind, data), typed=True, timeout_s=5.0
            )
            return frame.kind, frame.data

        purse = FatalPurse(store, USDC, wallet=Wallet(BUYER_KEY), ledger=ledger, reach=lambda peer: put)
        purse.fatal = Fatal(place, tell)
        bought = await purse.find(PURCHASE)
        if bought is None:
            bought = await purse.buy(seller, "agent", INPUT, 5000, put, PURCHASE)
        while True:
            tell.send(("purchase", bought))
            if bought.state is PurchaseState.REFUSED or (
                bought.settled is not None and bought.state in (PurchaseState.DELIVERED, PurchaseState.UNPAID)
            ):
                return
            await asyncio.sleep(0.05)
            await purse.reconcile()
            bought = await purse.find(PURCHASE)
            assert bought is not None


@asynccontextmanager
async def _living(
    place: Place, listen: tuple[str, ...]
) -> AsyncIterator[tuple[Node, PaymentStore, RpcLedger, AsyncExitStack]]:
    config = Config(node=NodeSection(path=place.folder), network=NetworkSection(listen=listen))
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(PaymentStore(place.folder / FILE_NAME))
        ledger = await stack.enter_async_context(RpcLedger(place.rpc_url, USDC))
        node = await stack.enter_async_context(Node(config))
        yield node, store, ledger, stack
