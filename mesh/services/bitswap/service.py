"""The service: streams, store and DHT around the two machines, client and ledger."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mesh.config.blocks import BlocksSection
from mesh.errors import Closed, DecodeError, EndOfStream, LimitError, PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.client import Client
from mesh.protocols.bitswap.ledger import Ledger, Reply
from mesh.protocols.bitswap.message import Received
from mesh.protocols.bitswap.version import PROTOCOLS, Version, best_of
from mesh.services.bitswap.deaf import DeafPeers
from mesh.services.bitswap.host import Host
from mesh.services.bitswap.link import Link
from mesh.services.bitswap.providing import Providing
from mesh.services.bitswap.session import Arrivals, Session
from mesh.services.registry import Registry
from mesh.storage.blockstore import Blockstore
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAX_KEEPING_BYTES: Final = 16 * 1024 * 1024
"""Blocks that came and are not on disk yet; with more, streams are not read on."""
_STANDING: Final = 0
"""The session of single blocks."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What went between this node and a peer. ``asked``: whether it ever told a want over its present connections; one
    that never does, although it must lack something, has not noticed that it is connected."""

    peer: PeerId
    version: str
    received_blocks: int
    received_bytes: int
    sent_bytes: int
    unwanted_bytes: int
    wants: int
    asked: bool
    latency_s: float


class Bitswap:
    """Blocks from and for connected peers."""

    def __init__(
        self, host: Host, settings: BlocksSection, blocks: Blockstore, registry: Registry, counters: Counters
    ) -> None:
        self._host = host
        self._settings = settings
        self._blocks = blocks
        self._registry = registry
        self._counters = counters
        self._scope: Scope | None = None
        self._links: dict[PeerId, Link] = {}
        self._client = Client()
        self._ledger = Ledger(blocks.size_of)
        self._waiting: dict[bytes, list[Arrivals]] = {}
        self._numbers = itertools.count(_STANDING + 1)
        self._standing = Session(_STANDING, self)
        self._timer: asyncio.TimerHandle | None = None
        self._keeping_bytes = 0
        self._kept = asyncio.Event()
        self.providing = Providing(host, self._spawn, counters)
        self.deaf = DeafPeers(host, self.asked, self.reconnect, self._spawn, counters)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Serve every version. Raises `UsageError` when somebody else serves one."""
        self._scope = Scope("bitswap", scope)
        for protocol in PROTOCOLS:
            self._registry.add(protocol, self._serve)
        self._blocks.observers.append(self._added)

    async def stop(self) -> None:
        """End everything; who waits for a block gets `Closed`. Safe to call twice."""
        scope, self._scope = self._scope, None
        if scope is None:
            return
        self._blocks.observers.remove(self._added)
        for protocol in PROTOCOLS:
            self._registry.remove(protocol)
        if self._timer is not None:
            self._timer.cancel()
        for link in self._links.values():
            link.close()
        self._links.clear()
        for arrivals in {id(each): each for waiting in self._waiting.values() for each in waiting}.values():
            arrivals.fail(Closed("the node stopped before the block came"))
        self._waiting.clear()
        await scope.close()

    # -- getting -----------------------------------------------------------------------------------------------------

    async def get(self, cid: Cid) -> Block:
        """See `Session.get`; for a block on its own."""
        return await self._standing.get(cid)

    def get_many(self, cids: Iterable[Cid]) -> AsyncGenerator[Block, None]:
        """See `Session.get_many`."""
        return self._standing.get_many(cids)

    def session(self) -> Session:
        """For blocks that belong together."""
        return Session(next(self._numbers), self)

    def wants(self) -> list[Cid]:
        """What is sought now."""
        return list(self._client.wants())

    # -- peers -------------------------------------------------------------------------------------------------------

    def identified(self, connection: Connection) -> None:
        """A peer told what it speaks."""
        peer = connection.peer
        version = best_of(connection.remote_protocols or ())
        if version is None:
            self.disconnected(peer)
            return
        self._link(peer, version)
        self._client.connected(peer, version, time.monotonic())
        self._pump()

    def disconnected(self, peer: PeerId) -> None:
        """Its last direct connection has ended, or it speaks no bitswap any more."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.close()
        self._client.disconnected(peer, time.monotonic())
        self._ledger.disconnected(peer)
        self._pump()

    def exchanged(self) -> list[Exchanged]:
        """What went between us and each connected peer."""
        found = []
        for peer, link in self._links.items():
            supplier, debtor = self._client.supplier(peer), self._ledger.debtor(peer)
            found.append(
                Exchanged(
                    peer,
                    link.version.value,
                    supplier.received if supplier is not None else 0,
                    supplier.received_bytes if supplier is not None else 0,
                    debtor.sent_bytes if debtor is not None else 0,
                    supplier.unwanted_bytes if supplier is not None else 0,
                    len(debtor.wants) if debtor is not None else 0,
                    self.asked(peer),
                    supplier.latency_s if supplier is not None else 0.0,
                )
            )
        return found

    def asked(self, peer: PeerId) -> bool:
        """Whether a peer ever told a want over its present connections."""
        debtor = self._ledger.debtor(peer)
        return debtor is not None and debtor.wanted > 0

    async def reconnect(self, peer: PeerId) -> Connection:
        """Close the connection to a peer and dial it anew: the cure for one that was connected before its bitswap ran and
        never asks for anything, since boxo notices new connections alone. Raises `DialError`."""
        addresses = self._host.addresses_of(peer)
        present = self._host.connection_to(peer)
        if present is not None:
            addresses = (*addresses, *(() if present.inbound else (present.remote,)))
            await present.close()
        self._counters.count("bitswap.reconnected")
        return await self._host.connect(peer, addresses)

    # -- what a session asks (see `session.Getting`) -----------------------------------------------------------------

    def local(self, cid: Cid) -> Block | None:
        return self._blocks.get(cid)

    def begin(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        if self._scope is None:
            raise UsageError("blocks are exchanged while the node runs")
        cids = list(cids)
        for cid in cids:
            self._waiting.setdefault(cid.multihash.to_bytes(), []).append(arrivals)
        self._client.want(session, cids, time.monotonic())
        self._pump()

    def cease(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        unwanted = []
        for cid in cids:
            key = cid.multihash.to_bytes()
            waiting = self._waiting.get(key, [])
            if arrivals in waiting:
                waiting.remove(arrivals)
            if not waiting:
                self._waiting.pop(key, None)
                unwanted.append(cid)
        self._client.forget(session, unwanted, time.monotonic())
        self._pump()

    def finish(self, session: int) -> None:
        self._client.end(session, time.monotonic())
        self._pump()

    # -- streams from peers ------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """Read a peer's messages until the stream ends. What is none resets it."""
        connection = stream.connection
        peer = connection.peer
        if peer not in self._links:
            self._link(peer, Version(stream.protocol))
        while True:
            try:
                data = await stream.read_message(MAX_MESSAGE_BYTES)
                received = message.read(data)
            except EndOfStream:
                return
            except DecodeError:
                self._counters.count("bitswap.malformed")
                raise
            link = self._links.get(peer)
            if link is None or not connection.usable:
                return
            self._received(connection, received)
            pause_s = link.pause_s(len(received.entries)) if received.entries else 0.0
            if pause_s:
                self._counters.count("bitswap.slowed")
                await asyncio.sleep(pause_s)
            while self._keeping_bytes > MAX_KEEPING_BYTES:
                self._kept.clear()
                await self._kept.wait()

    def _received(self, connection: Connection, received: Received) -> None:
        peer, now = connection.peer, time.monotonic()
        if received.nonsense:
            self._counters.count("bitswap.nonsense", received.nonsense)
        taken = self._client.receive(peer, received, now)
        if taken:
            self._take(peer, taken)
        if len(taken) < len(received.blocks):
            self._counters.count("bitswap.unwanted_blocks", len(received.blocks) - len(taken))
            if self._client.floods(peer):
                self._punish(connection, "sent blocks that nobody asked for")
                return
        if (received.entries or received.full) and not self._ledger.receive(
            peer, received.entries, received.full
        ):
            self._punish(connection, "wanted a CID that holds its content itself")
            return
        self._pump()

    def _punish(self, connection: Connection, why: str) -> None:
        self._counters.count("bitswap.disconnected")
        log.info("bitswap: %s %s", connection.peer, why)
        connection.abort(PeerError(f"bitswap: {connection.peer} {why}", protocol=PROTOCOLS[0]))

    # -- blocks ------------------------------------------------------------------------------------------------------

    def _take(self, peer: PeerId, blocks: Sequence[Block]) -> None:
        """Blocks that were sought came."""
        size = sum(len(each.data) for each in blocks)
        self._counters.count("bitswap.received_blocks", len(blocks))
        self._counters.count("bitswap.received_bytes", size)
        self._ledger.received(peer, size)
        self._keeping_bytes += size
        self._spawn(self._keep(blocks, size), "bitswap keep")
        for block in blocks:
            self._arrived(block)

    def pinned(self, cid: Cid) -> None:
        """A block is to stay: it is announced, if pinned ones are."""
        if self._settings.announce == "pinned":
            self.providing.announce(cid)

    async def unpinned(self, cid: Cid) -> None:
        """It is to stay no longer."""
        if self._settings.announce == "pinned":
            await self.providing.withdraw(cid)

    async def kept(self) -> None:
        """Wait until what came so far is on disk, or was refused."""
        while self._keeping_bytes:
            self._kept.clear()
            await self._kept.wait()

    async def _keep(self, blocks: Sequence[Block], size: int) -> None:
        try:
            await self._blocks.put(*blocks)
        except LimitError as error:
            self._counters.count("bitswap.not_kept", len(blocks))
            log.warning("blocks that came are not kept: %s", error)
        finally:
            self._keeping_bytes -= size
            self._kept.set()

    def _arrived(self, block: Block) -> None:
        for arrivals in self._waiting.pop(block.cid.multihash.to_bytes(), ()):
            arrivals.put(block)

    def _added(self, blocks: Sequence[Block]) -> None:
        """Blocks are here now, whoever put them there."""
        now = time.monotonic()
        for block in blocks:
            key = block.cid.multihash.to_bytes()
            if key in self._waiting:
                self._arrived(block)
            self._client.satisfied(block.cid, now)
            if self._settings.announce == "all":
                self.providing.announce(block.cid)
        self._ledger.added((each.cid, len(each.data)) for each in blocks)
        self._pump()

    # -- within ------------------------------------------------------------------------------------------------------

    def _link(self, peer: PeerId, version: Version) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(
                peer, version, self._host, self, self._client, self._spawn, self._counters
            )
        link.version = version
        return link

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[None]:
        if self._scope is None:
            work.close()
            raise UsageError("blocks are exchanged while the node runs")
        return self._scope.spawn(work, name)

    def _pump(self) -> None:
        """Send what the machines have to say, and set the timer."""
        if self._scope is None or self._scope.closing:
            return
        for peer in self._client.due():
            link = self._links.get(peer)
            if link is not None:
                link.ask()
        while (turn := self._ledger.next_reply(self._busy)) is not None:
            self._reply(*turn)
        for cid in self._client.sought():
            if self._settings.search:
                self.providing.search(cid)
        self._set_timer()

    def _busy(self, peer: PeerId) -> bool:
        link = self._links.get(peer)
        return link is None or link.busy

    def _reply(self, peer: PeerId, reply: Reply) -> None:
        blocks = []
        for cid in reply.blocks:
            block = self._blocks.get(cid)
            if block is not None:
                blocks.append(block)
            elif cid.to_bytes() in reply.wants_dont_have:
                reply.presences.append((cid.to_bytes(), False))
        size = sum(len(each.data) for each in blocks)
        link = self._links[peer]
        if blocks or (reply.presences and link.version.has_presences):
            self._counters.count("bitswap.sent_blocks", len(blocks))
            self._counters.count("bitswap.sent_bytes", size)
            link.answer(message.answers(link.version, blocks, reply.presences, reply.pending_bytes))
        self._ledger.sent(peer, reply, size)

    def _set_timer(self) -> None:
        deadline = self._client.deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay_s = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._client.wake(time.monotonic())
        self._pump()

    # -- what a link tells (see `link.Owner`) ------------------------------------------------------------------------

    def unusable(self, link: Link) -> None:
        self._client.disconnected(link.peer, time.monotonic())
        self._pump()

    def answered(self, link: Link) -> None:
        self._pump()
