"""The agents that a node offers: their names, prices and workers, and having them work.

An agent's id follows from the node's key and its name (section 1.3), so a second one of the same name takes the place of
the first. Those that were registered while the node ran are kept in the store, with their command or endpoint; callables
are the program's own and are gone with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mesh.apps.market.payments.till import WorkFailed
from mesh.apps.market.work import CommandWorker, HttpWorker, Task, Worker
from mesh.errors import ConfigError, DecodeError, LimitError, UsageError
from mesh.go_json import Record, member, write_instant
from mesh.protocols.market import PAID_PROTOCOL_ID
from mesh.protocols.market.cards import AgentRegistration, Service
from mesh.protocols.market.listing import Listing, atomic_price
from mesh.protocols.market.naming import agent_did

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.storage.datastore import LocalDatastore

PREFIX: Final = b"/own/"
MAX_NAME_CHARACTERS: Final = 256
MAX_DESCRIPTION_CHARACTERS: Final = 4096
MAX_CAPABILITIES: Final = 32
MAX_CAPABILITY_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Offer(Record, name="mesh.Offer"):
    """An agent as somebody describes it: ``price`` is USDC a task; work is done by ``command`` or ``url``."""

    name: str = member("name")
    description: str = member("description")
    price: float = member("price", 0.0)
    image: str = member("image", omit=True)
    capabilities: tuple[str, ...] = member("capabilities", (), omit=True)
    command: tuple[str, ...] = member("command", (), omit=True)
    url: str = member("url", omit=True)


@dataclass(frozen=True, slots=True)
class OwnAgent:
    """An agent on offer. ``did`` is its id, ``metadata`` the CID of the file that describes it, ``kept`` whether it is
    in the store."""

    offer: Offer
    did: str
    metadata: str
    worker: Worker
    created_ns: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class LocalAgent(Record, name="agent.LocalAgent"):
    """An agent of this node as the API shows it."""

    id: str = member("id")
    name: str = member("name")
    description: str = member("description")
    price: float = member("price", 0.0)
    metadata_cid: str = member("metadataCID")
    agent_id: str = member("agentID")
    status: str = member("status", "active")
    created_at: str = member("createdAt")
    token_id: int = member("tokenId", 0, omit=True)


class OwnAgents:
    """The agents of a node, by id; a `Shop` to the seller's side of payments."""

    def __init__(self, node: Node, store: LocalDatastore) -> None:
        self._node = node
        self._store = store
        self._settings = node.config.market
        self._agents: dict[str, OwnAgent] = {}
        self._working = asyncio.Semaphore(self._settings.max_work_at_once)

    async def load(self) -> list[OwnAgent]:
        """Take back in what was registered before. Raises `StorageError`."""
        for _, value in [entry async for entry in self._store.scan(PREFIX)]:
            try:
                offer = Offer.read(value)
                await self._enter(offer, worker_of(offer), kept=True)
            except (DecodeError, ConfigError, UsageError):
                self._node.counters.count("market.own:unreadable")
        return self.all

    def close(self) -> None:
        """Nobody works any more."""
        for agent in self._agents.values():
            agent.worker.close()

    @property
    def all(self) -> list[OwnAgent]:
        """Every agent on offer."""
        return list(self._agents.values())

    def get(self, agent_id: str) -> OwnAgent | None:
        """The agent with that id, alone or behind this node's peer id."""
        return self._agents.get(agent_id.removeprefix(f"{self._node.peer_id}/"))

    async def add(self, offer: Offer, worker: Worker | None = None) -> OwnAgent:
        """Offer an agent, in place of one of the same name. Without ``worker`` its command or endpoint works, and it is
        kept in the store. Raises `UsageError`, `ConfigError`, `LimitError`, `StorageError`."""
        check_offer(offer)
        did = agent_did(self._node.key.public, offer.name)
        if did not in self._agents and len(self._agents) >= self._settings.max_agents:
            raise LimitError("market", "agents", self._settings.max_agents, "market.max_agents")
        agent = await self._enter(offer, worker or worker_of(offer), kept=worker is None)
        if agent.kept:
            await self._store.put(PREFIX + offer.name.encode(), offer.write())
        return agent

    async def remove(self, agent_id: str) -> OwnAgent | None:
        """Offer it no more; the agent, if it was offered. Raises `StorageError`."""
        agent = self.get(agent_id)
        if agent is not None:
            del self._agents[agent.did]
            agent.worker.close()
            await self._store.delete(PREFIX + agent.offer.name.encode())
        return agent

    def listing_of(self, agent: OwnAgent) -> Listing:
        """What is listed for it, without time and signature."""
        node = self._node
        return Listing(
            agent.did,
            agent.offer.name,
            agent.offer.price,
            agent.metadata,
            str(node.peer_id),
            tuple(str(each) for each in node.own_addresses),
            (PAID_PROTOCOL_ID,),
            capabilities=agent.offer.capabilities,
        )

    def listings(self) -> list[Listing]:
        """What is listed for all of them."""
        return [self.listing_of(each) for each in self._agents.values()]

    def shown(self, agent: OwnAgent) -> LocalAgent:
        """As the API shows it."""
        offer = agent.offer
        return LocalAgent(
            f"{self._node.peer_id}/{agent.did}",
            offer.name,
            offer.description,
            offer.price,
            agent.metadata,
            agent.did,
            created_at=write_instant(agent.created_ns),
        )

    # -- the shop ----------------------------------------------------------------------------------------------------

    def price(self, resource: str) -> int | None:
        """Atomic units that a task of the agent with that very id costs; None for none such."""
        agent = self._agents.get(resource)
        return None if agent is None else atomic_price(agent.offer.price)

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        """Have an agent work. Raises `WorkFailed`."""
        agent = self._agents.get(resource)
        if agent is None:
            raise WorkFailed(f"agent not found: {resource}")
        limit_s = self._settings.work_timeout_s
        try:
            async with asyncio.timeout(limit_s), self._working:
                task = Task(input_text, caller, purchase_id)
                return await agent.worker.run(task, self._settings.max_output_bytes)
        except TimeoutError:
            raise WorkFailed(f"the agent did not finish within {limit_s:g} s") from None

    # -- within ------------------------------------------------------------------------------------------------------

    async def _enter(self, offer: Offer, worker: Worker, *, kept: bool) -> OwnAgent:
        did = agent_did(self._node.key.public, offer.name)
        metadata = await self._describe(offer)
        before = self._agents.get(did)
        if before is not None and before.worker is not worker:
            before.worker.close()
        self._agents[did] = agent = OwnAgent(offer, did, metadata, worker, time.time_ns(), kept)
        return agent

    async def _describe(self, offer: Offer) -> str:
        """Keep the file that describes an agent; its CID."""
        services = tuple(Service(each) for each in offer.capabilities) or None
        registration = AgentRegistration(
            "Agent", offer.name, offer.description, offer.image, services, offer.price > 0, True
        )
        file = await self._node.files.add(_pieces(registration.write()), raw_leaves=False)
        return str(file.cid)


def check_offer(offer: Offer) -> None:
    """Raises `UsageError` for what cannot be offered."""
    if not 1 <= len(offer.name.strip()) <= MAX_NAME_CHARACTERS or not offer.name.isprintable():
        raise UsageError(f"an agent has a name of at most {MAX_NAME_CHARACTERS} printable characters")
    if offer.name != offer.name.strip():
        raise UsageError("an agent's name neither begins nor ends with a space")
    if len(offer.description) > MAX_DESCRIPTION_CHARACTERS or len(offer.image) > MAX_DESCRIPTION_CHARACTERS:
        raise UsageError(f"a description has at most {MAX_DESCRIPTION_CHARACTERS} characters")
    many = len(offer.capabilities) > MAX_CAPABILITIES
    if many or any(not 1 <= len(each) <= MAX_CAPABILITY_CHARACTERS for each in offer.capabilities):
        raise UsageError(
            f"an agent has at most {MAX_CAPABILITIES} capabilities of 1 to {MAX_CAPABILITY_CHARACTERS} characters"
        )
    atomic_price(offer.price)


def worker_of(offer: Offer) -> Worker:
    """Who works by an offer's own words. Raises `ConfigError`."""
    if bool(offer.command) == bool(offer.url):
        raise ConfigError(f"the agent {offer.name!r} has either a command or an endpoint (url)")
    if offer.command:
        return CommandWorker(offer.command)
    if not offer.url.startswith(("http://", "https://")):
        raise ConfigError(f"the agent {offer.name!r} has an endpoint that is no http:// or https:// address")
    return HttpWorker(offer.url)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
