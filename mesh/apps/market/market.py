"""`Market`: the marketplace on a running node; what its API, the console and programs use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mesh.apps.lifetime import Lifetime
from mesh.apps.market.agents import Offer, OwnAgent, OwnAgents
from mesh.apps.market.agents_file import read_agents
from mesh.apps.market.announcing import Announcing
from mesh.apps.market.calls import Calls, Desk, Outcome
from mesh.apps.market.frames import FrameService
from mesh.apps.market.listings import Listings
from mesh.apps.market.money import Money
from mesh.apps.market.orders import Orders
from mesh.apps.market.payments.till import Till
from mesh.apps.market.sessions import Sessions
from mesh.apps.market.work import Worker
from mesh.apps.market.workflows import Workflows
from mesh.codecs.market import Frame
from mesh.errors import MeshError, StorageError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats import multihash
from mesh.network.scope import Scope
from mesh.protocols.market import INFO, PAID_PROTOCOL_ID, PROTOCOL_ID, RENDEZVOUS
from mesh.protocols.market.board import Entry, Query
from mesh.protocols.market.listing import LIST, UPDATE, Listing
from mesh.protocols.market.naming import node_did
from mesh.protocols.market.orders import REQUESTS
from mesh.protocols.x402.records import Sale
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.sqlite_datastore import SqliteDatastore

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.node import Node
    from mesh.storage.datastore import LocalDatastore

log = logging.getLogger(__name__)

FILE_NAME: Final = "market.db"
ADVERTISE_AGAIN_S: Final = 30.0
"""While nobody in the DHT took it."""
_IDLE: Final = "the marketplace is not running: use `async with Market(node, config)`"


class Market(Lifetime):
    """``async with Market(node, config)``: the marketplace part of a node that runs, with pubsub and blocks exchanged.

    The data folder is the node's; without one everything is in memory and gone at the end. Agents are named by their ids;
    prices are USDC, amounts atomic units.
    """

    def __init__(
        self,
        node: Node,
        config: Config,
        *,
        offered: Sequence[tuple[Offer, Worker]] = (),
        wallet_key: str = "",
    ) -> None:
        """``offered`` are agents from the start on; ``wallet_key`` is the wallet's key in hexadecimal, if not a file has
        it. Raises `ConfigError` for settings of payments or an agents' file that cannot be used."""
        section, folder = config.market, config.node.path
        self.node = node
        self.settings = config
        self.money = Money(section, folder, wallet_key)
        self._offered = [*offered, *([] if section.agents is None else read_agents(section.agents))]
        self._on_disk = None if folder is None else SqliteDatastore(folder / FILE_NAME)
        store: LocalDatastore = MemoryDatastore() if self._on_disk is None else self._on_disk
        self._store = store
        self._open = False
        self._scope = Scope("market")
        self._till: Till | None = None
        self.listings = Listings(node)
        self.agents = OwnAgents(node, store)
        self.sessions = Sessions(store)
        self.orders = Orders(node, store)
        keccak = None if self.money.wallet is None else self.money.wallet.crypto().keccak
        self.calls = Calls(node, self.agents, self.listings, self.sessions, keccak)
        self.workflows = Workflows(store, self.calls)
        self._announcing = Announcing(node, self.listings, self.agents.listings, section.announce_interval_s)
        counters = node.counters
        self._streams = {
            PROTOCOL_ID: FrameService("market.stream", self._answer, counters),
            PAID_PROTOCOL_ID: FrameService("market.paid", self._sell, counters),
        }

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the stores, serve the streams, list the agents, go on with workflows. Raises `UsageError`, `StorageError`,
        `ConfigError`."""
        if self._open:
            raise UsageError("the marketplace has been started already")
        if self._on_disk is not None:
            await self._on_disk.open()
        self._open = True
        await self.orders.load()
        await self.agents.load()
        for offer, worker in self._offered:
            await self.agents.add(offer, worker)
        own_name = node_did(self.node.key.public)
        desk = Desk(self.agents, self.sessions)
        self._till, self.calls.purse = await self.money.start(desk, own_name, self.calls.reach, self._sold)
        for protocol, service in self._streams.items():
            self.node.handle(protocol, service.serve)
        await self.listings.start()
        self._announcing.start()
        await self._announcing.delist_stale()
        for offered in self.agents.listings():
            await self._announcing.list_now(offered)
        await self.workflows.start()
        if self.node.config.kademlia.mode != "off":
            self._scope.spawn(self._advertise(), "market rendezvous")

    async def stop(self) -> None:
        """End everything in order; safe to call twice."""
        if not self._open:
            return
        for protocol in set(self._streams).intersection(self.node.protocols):
            self.node.unhandle(protocol)
        await self.workflows.stop()
        await self._announcing.stop()
        await self.listings.stop()
        await self.money.stop()
        self.agents.close()
        await self._scope.close()
        self._till = self.calls.purse = None
        self._open = False
        await self._store.close()

    # -- agents of this node -----------------------------------------------------------------------------------------

    async def register(self, offer: Offer, worker: Worker | None = None) -> OwnAgent:
        """Offer an agent and list it everywhere, in place of one of the same name. Without ``worker`` its command or
        endpoint does the work. Raises `UsageError`, `ConfigError`, `LimitError`, `StorageError`."""
        self._check_running()
        known = {each.did for each in self.agents.all}
        agent = await self.agents.add(offer, worker)
        kind = UPDATE if agent.did in known else LIST
        await self._announcing.list_now(self.agents.listing_of(agent), kind)
        return agent

    async def withdraw(self, agent_id: str) -> OwnAgent:
        """Offer an agent no more, and say so to everybody. Raises `UsageError` for none such, `StorageError`."""
        self._check_running()
        agent = await self.agents.remove(agent_id)
        if agent is None:
            raise UsageError(f"this node has no agent {agent_id[:256]}")
        await self._announcing.delist(self.agents.listing_of(agent))
        return agent

    # -- everybody's -------------------------------------------------------------------------------------------------

    def find(self, query: Query | None = None) -> list[Entry]:
        """Listings that are wanted, in order."""
        return self.listings.board.find(query or Query())

    def get(self, agent_id: str) -> Entry | None:
        """The listing of an agent."""
        return self.listings.board.get(agent_id)

    def all_listings(self) -> Sequence[Listing]:
        """Every listing, by name."""
        return [entry.listing for entry in self.find()]

    async def execute(
        self, agent_id: str, input_text: str, limit: int | None = None, purchase_id: str | None = None
    ) -> Outcome:
        """Have an agent work, here or elsewhere; see `Calls.execute`."""
        self._check_running()
        return await self.calls.execute(agent_id, input_text, limit, purchase_id)

    async def sales(self, at_most: int = 100) -> list[Sale]:
        """What was sold for pay, the newest first. Raises `StorageError`."""
        self._check_running()
        assert self._till is not None
        return await self._till.sales(at_most)

    # -- streams -----------------------------------------------------------------------------------------------------

    async def _answer(self, kind: str, data: bytes, remote: PeerId) -> bytes:
        if kind == INFO:
            return self.listings.info()
        if kind in REQUESTS:
            return await self.orders.answer(kind, data, remote)
        return f"unknown message type: {kind}".encode()

    async def _sell(self, kind: str, data: bytes, remote: PeerId) -> Frame:
        assert self._till is not None
        return Frame(*await self._till.answer(kind, data, remote))

    def _sold(self, sale: Sale) -> None:
        if not self._scope.closing:
            self._scope.spawn(self._note_sale(sale), "market session")

    async def _note_sale(self, sale: Sale) -> None:
        try:
            await self.calls.sold(sale)
        except StorageError as error:
            log.error("a sale is missing from its session: %s", error)

    # -- within ------------------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if not self._open:
            raise UsageError(_IDLE)

    async def _advertise(self) -> None:
        """Be among the providers of the rendezvous, as real nodes are; the DHT announces it again from then on."""
        key = multihash.digest(RENDEZVOUS.encode(), "sha2-256").to_bytes()
        while True:
            try:
                written = await self.node.dht.provide(key)
            except MeshError as error:
                log.info("the rendezvous was not announced: %s", error)
            else:
                if written.reached:
                    return
            await asyncio.sleep(ADVERTISE_AGAIN_S)
