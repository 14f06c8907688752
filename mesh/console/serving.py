"""The life of a daemon: start, say so, wait for a signal, close in order."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.console.output import abandon, say, warn
from mesh.errors import AddressInUse, StorageError

if TYPE_CHECKING:
    from mesh.api.agent_server import AgentApi
    from mesh.api.market_server import MarketApi
    from mesh.apps.beam.beam import Beam
    from mesh.apps.lethean.service import LetheanService
    from mesh.apps.market.agents import Offer
    from mesh.apps.market.work import Worker
    from mesh.config import Loaded
    from mesh.identity.keys import PrivateKey
    from mesh.node import Node

log = logging.getLogger(__name__)

FORCED = 130
API_LISTEN = "127.0.0.1:4003"
"""Where a daemon's control API is unless its settings say otherwise."""
API_LISTEN_BESIDE_AGENT = "127.0.0.1:4004"
"""The same for an agent daemon, whose own API is at that port by its protocol's custom."""

StartControl = Callable[[AsyncExitStack, "Node", "LetheanService | None", "Beam | None"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """What the settings do not say of a node in the marketplace: agents with who does their work, the wallet's key."""

    offered: Sequence[tuple[Offer, Worker]] = ()
    wallet_key: str = ""


async def serve(loaded: Loaded, key: PrivateKey, plan: MarketPlan | None = None) -> int:
    """Start the node and wait; the first signal ends it in order, a second one cuts that short."""
    from mesh.network.machine_size import raise_descriptor_limit

    stop = StopSignal()
    stop.install()
    loaded = _with_market(_with_beam(_with_pubsub(loaded)))
    try:
        async with AsyncExitStack() as stack:
            log.info("up to %d descriptors may be open", raise_descriptor_limit())
            control = _control_of(loaded)
            node = await _started(stack, loaded, key)
            lethean = await _start_lethean(stack, loaded, node)
            agent_api = await _start_agent(stack, loaded, node)
            beam = await _start_beam(stack, node)
            market_api = await _start_market(stack, loaded, node, plan or MarketPlan())
            _pass_on_topics(stack, node)
            url = await control(stack, node, lethean, beam) if control is not None else ""
            _announce(node, lethean, agent_api, market_api, url)
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.count:
            raise
        return FORCED if stop.count > 1 else 0
    return 0


async def _started(stack: AsyncExitStack, loaded: Loaded, key: PrivateKey) -> Node:
    """A running node; a default port that is taken gives way to a free one, a chosen one does not."""
    from mesh.node import Node

    config = loaded.config
    try:
        return await stack.enter_async_context(Node(config, key=key))
    except AddressInUse as error:
        if not loaded.is_default("network.listen"):
            raise
        warn(f"{error}; using a free port (choose one with --listen)")
    network = replace(config.network, listen=tuple(map(_with_free_port, config.network.listen)))
    return await stack.enter_async_context(Node(replace(config, network=network), key=key))


async def _start_lethean(stack: AsyncExitStack, loaded: Loaded, node: Node) -> LetheanService | None:
    """The node on the Lethean mesh, if the settings want one."""
    section = loaded.config.lethean
    if {section.listen, section.ueps_listen, section.levin_listen} == {"off"} and not section.peers:
        return None
    from mesh.apps.lethean.service import LetheanService

    service = LetheanService(section, loaded.config.node.path, node.counters)
    return await stack.enter_async_context(service)


def _with_pubsub(loaded: Loaded) -> Loaded:
    """An agent daemon meets others in pubsub topics, a relay may pass those on: pubsub is on then, unless somebody turned
    it off by hand."""
    config = loaded.config
    wanted = config.agent.enabled or config.relay.topics
    if not wanted or not loaded.is_default("gossip.enabled"):
        return loaded
    return replace(loaded, config=replace(config, gossip=replace(config.gossip, enabled=True)))


def _with_market(loaded: Loaded) -> Loaded:
    """The marketplace needs pubsub and blocks that are exchanged: they are on then, unless turned off by hand."""
    config = loaded.config
    if not config.market.enabled:
        return loaded
    if loaded.is_default("gossip.enabled"):
        config = replace(config, gossip=replace(config.gossip, enabled=True))
    if loaded.is_default("blocks.enabled") and loaded.is_default("blocks.exchange"):
        config = replace(config, blocks=replace(config.blocks, enabled=True, exchange=True))
    return replace(loaded, config=config)


async def _start_market(
    stack: AsyncExitStack, loaded: Loaded, node: Node, plan: MarketPlan
) -> MarketApi | None:
    """The marketplace and its API, if the settings want them."""
    section = loaded.config.market
    if not section.enabled:
        return None
    from mesh.apps.market.market import Market

    market = Market(node, loaded.config, offered=plan.offered, wallet_key=plan.wallet_key)
    await stack.enter_async_context(market)
    if section.api == "off":
        return None
    from mesh.api.market_server import MarketApi

    folder = loaded.config.node.path
    try:
        return await stack.enter_async_context(MarketApi(market, section.api, folder))
    except AddressInUse as error:
        if not loaded.is_default("market.api"):
            raise
        warn(f"{error}; using a free port (choose one with --market-api)")
    return await stack.enter_async_context(MarketApi(market, "127.0.0.1:0", folder))


def _with_beam(loaded: Loaded) -> Loaded:
    """What taking part in Beam's network turns on, where nobody chose otherwise: its DHT, and what its level of
    participation does for others."""
    section = loaded.config.beam
    if not section.enabled:
        return loaded
    from mesh.apps.beam.levels import defaults_of
    from mesh.config.sources import updated

    config = loaded.config
    for key, value in defaults_of(section.participation).items():
        if loaded.is_default(key):
            config = updated(config, key, value)
    return replace(loaded, config=config)


async def _start_beam(stack: AsyncExitStack, node: Node) -> Beam | None:
    """Beam's service network, if the settings want it."""
    section = node.config.beam
    if not section.enabled:
        return None
    from mesh.apps.beam.beam import Beam

    return await stack.enter_async_context(Beam(node, section))


async def _start_agent(stack: AsyncExitStack, loaded: Loaded, node: Node) -> AgentApi | None:
    """The agent daemon and its API, if the settings want them."""
    section = loaded.config.agent
    if not section.enabled:
        return None
    from mesh.apps.agent.agent import Agent

    agent = await stack.enter_async_context(Agent(node, loaded.config))
    if section.api == "off":
        return None
    from mesh.api.agent_server import AgentApi

    return await stack.enter_async_context(AgentApi(agent, section.api, loaded.config.node.path))


def _pass_on_topics(stack: AsyncExitStack, node: Node) -> None:
    """Join the topics that a relay is to pass on."""
    if not node.config.relay.topics or not node.config.gossip.enabled:
        return
    from mesh.apps.agent.topics import TopicRelay

    topics = TopicRelay(node.pubsub, node.counters)
    topics.start()
    stack.push_async_callback(topics.stop)


def _control_of(loaded: Loaded) -> StartControl | None:
    """What starts the control API and answers its address, loaded before the node runs; None when it is off."""
    by_default = loaded.is_default("api.listen")
    usual = API_LISTEN_BESIDE_AGENT if loaded.config.agent.enabled else API_LISTEN
    listen = usual if by_default else loaded.config.api.listen
    if listen == "off":
        return None
    from mesh.api.server import ControlApi

    async def start(
        stack: AsyncExitStack, node: Node, lethean: LetheanService | None, beam: Beam | None
    ) -> str:
        folder = loaded.config.node.path
        try:
            return (await stack.enter_async_context(ControlApi(node, listen, folder, lethean, beam))).url
        except AddressInUse as error:
            if not by_default:
                raise
            warn(f"{error}; using a free port (choose one with --api)")
        return (await stack.enter_async_context(ControlApi(node, "127.0.0.1:0", folder, lethean, beam))).url

    return start


def _with_free_port(address: str) -> str:
    return re.sub(r"/(tcp|udp)/[0-9]+", r"/\1/0", address)


def _announce(
    node: Node,
    lethean: LetheanService | None,
    agent_api: AgentApi | None,
    market_api: MarketApi | None,
    url: str,
) -> None:
    """Tell whoever started us; a reader that has gone does not end the node."""
    lines = [
        f"peer {node.peer_id}",
        *(f"listening {address}" for address in node.listen_addrs),
    ]
    if node.config.kademlia.mode != "off":
        lines.append(f"dht {node.dht.mode} {node.dht.protocol}")
    if node.config.gossip.enabled:
        lines.append(f"pubsub {node.config.gossip.protocols[0]}")
    if node.config.relay.serve:
        lines.append(f"relay for {node.config.relay.max_reservations} peers")
    if node.config.relay.topics:
        lines.append(f"topics {','.join(node.config.relay.topics)}")
    if lethean is not None:
        lines.append(f"lethean {lethean.own.identity.id} {lethean.own.identity.public_key}")
    if lethean is not None and lethean.node.listen_address:
        lines.append(f"lethean listening {lethean.node.listen_address}")
    if lethean is not None:
        opened = (("ueps", lethean.side.ueps_address), ("levin", lethean.side.levin_address))
        lines += [f"{name} listening {address}" for name, address in opened if address]
    if agent_api is not None:
        lines.append(f"agent api {agent_api.url}")
    if market_api is not None:
        lines.append(f"market api {market_api.url}")
    lines += [f"api {url}", "ready"] if url else ["ready"]
    try:
        for line in lines:
            say(line)
    except BrokenPipeError:
        abandon(sys.stdout)
        warn("nobody reads stdout; the node goes on")
    except StorageError as error:
        warn(f"{error}; the node goes on")


class StopSignal:
    """SIGINT and SIGTERM. While the node starts, and when they come again, they cancel what is under way."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.current_task()
        self._waiting = False
        self._came = asyncio.Event()

    def install(self) -> None:
        """Take over both signals for the rest of the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._received)
            except NotImplementedError:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._received))

    async def wait(self) -> None:
        """Return when the first signal has come."""
        self._waiting = True
        await self._came.wait()

    def _received(self) -> None:
        self.count += 1
        self._came.set()
        if self._task is not None and (self.count > 1 or not self._waiting):
            self._task.cancel()
