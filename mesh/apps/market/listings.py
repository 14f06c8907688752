"""All listings a node knows: from the replicated mapping, from the topic, from peers that connect (section 7.4).

What is shown and bought is the board's; the mapping holds what anybody put there. A listing that left the mapping, and of
which nothing was heard for a while, leaves the board.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from mesh.apps.market.frames import exchange
from mesh.codecs.market import MAX_DATA_BYTES, Frame
from mesh.errors import DecodeError, MeshError
from mesh.go_json import read_records
from mesh.network.scope import Scope
from mesh.protocols.gossip import Verdict
from mesh.protocols.market import CRDT_TOPIC, INFO, LISTINGS_TOPIC, PROTOCOL_ID
from mesh.protocols.market.board import Board
from mesh.protocols.market.listing import (
    KEY_PREFIX,
    Listing,
    ListingMessage,
    agent_id_of,
    check_listing,
    key_of,
    read_listing,
    read_message,
)
from mesh.protocols.openclaw.rate_window import RateWindow
from mesh.services.gossip.subscription import Message, Overflow

if TYPE_CHECKING:
    from mesh.identity.peer_id import PeerId
    from mesh.network.connection import Connection
    from mesh.node import Node
    from mesh.services.crdt import Crdt
    from mesh.services.gossip.topic import Topic

log = logging.getLogger(__name__)

UNHEARD_S: Final = 90.0
"""Three announcements. A listing not in the mapping, and not heard of for so long, is gone."""
SWEEP_S: Final = 10.0
ASK_AGAIN_S: Final = 5.0
"""A peer that starts up answers in words at first (section 1.8)."""
ASKED_AT_ONCE: Final = 16
ANSWER_S: Final = 10.0
ASK_EVERY_S: Final = 10.0
"""A peer that comes and goes is asked this often at most."""
MAX_ASKED: Final = 4096
MAX_TOLD: Final = 10_000
"""Listings taken from one answer to `info`."""
AT_ONCE: Final = 50
"""Listings judged before the loop goes on with something else."""
MESSAGES_A_MINUTE: Final = 600
BUFFER: Final = 4096


class Listings:
    """The board of a running node; ``changed`` are called with the id of an agent whose listing changed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._own = str(node.peer_id)
        self._scope = Scope("market listings")
        self._rate: RateWindow[bytes] = RateWindow(MESSAGES_A_MINUTE)
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._asked: dict[PeerId, float] = {}
        self._mapping: Crdt | None = None
        self._topic: Topic | None = None
        self._told: tuple[float, bytes] = (0.0, b"")
        self.board = Board()
        self.changed: list[Callable[[str], None]] = []

    async def start(self) -> None:
        """Read what is there, join both topics, ask connected peers. Raises `UsageError`, `StorageError`."""
        node = self._node
        self._mapping = await node.crdt(CRDT_TOPIC)
        self._topic = node.pubsub.join(LISTINGS_TOPIC, self._judge)
        self._scope.spawn(self._follow_mapping(self._mapping), "market mapping")
        self._scope.spawn(self._hear(self._topic), "market topic")
        self._scope.spawn(self._sweep(), "market listings: what is gone")
        node.swarm.observers.connected.append(self._connected)
        for connection in node.connections:
            self._connected(connection)

    async def stop(self) -> None:
        """Leave the topic; safe to call twice."""
        observers = self._node.swarm.observers.connected
        if self._connected in observers:
            observers.remove(self._connected)
        await self._scope.close()
        if self._topic is not None:
            await self._topic.leave()
        self._topic = self._mapping = None

    @property
    def mapping(self) -> Crdt:
        """The replicated mapping, while this runs."""
        assert self._mapping is not None
        return self._mapping

    @property
    def topic(self) -> Topic:
        """The topic of announcements, while this runs."""
        assert self._topic is not None
        return self._topic

    def info(self) -> bytes:
        """What `info` is answered: a JSON list of all listings, as far as a frame holds them; those verified first. The
        same answer serves for a second."""
        now = time.monotonic()
        if now - self._told[0] > 1.0 or not self._told[1]:
            entries = sorted(self.board, key=lambda entry: (not entry.verified, -entry.heard_s))
            texts, size = [], 2
            for entry in entries:
                text = entry.listing.write()
                size += len(text) + 1
                if size > MAX_DATA_BYTES:
                    break
                texts.append(text)
            self._told = now, b"[" + b",".join(texts) + b"]"
        return self._told[1]

    def take(self, message: ListingMessage, said_by: str) -> None:
        """Apply an announcement that a peer wrote."""
        if self.board.hear(message, said_by, time.time()):
            self._tell(message.agent_id)

    def _tell(self, agent_id: str) -> None:
        self._told = 0.0, b""
        for listener in self.changed:
            listener(agent_id)

    # -- the mapping -------------------------------------------------------------------------------------------------

    async def _follow_mapping(self, mapping: Crdt) -> None:
        with mapping.watch(KEY_PREFIX) as changes:
            await self._take_all(mapping.below(KEY_PREFIX))
            async for change in changes:
                if changes.missed:
                    changes.missed = 0
                    await self._take_all(mapping.below(KEY_PREFIX))
                self._changed_in_mapping(change.key, change.value)

    async def _take_all(self, entries: Iterable[tuple[str, bytes]]) -> None:
        for number, (key, value) in enumerate(entries):
            self._changed_in_mapping(key, value)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _changed_in_mapping(self, key: str, value: bytes | None) -> None:
        try:
            agent_id = agent_id_of(key)
            listing = None if value is None else read_listing(value)
        except DecodeError as error:
            self._node.counters.count("market.mapping:unreadable")
            log.debug("an entry of the mapping: %s", error)
            return
        if listing is None:
            entry = self.board.get(agent_id)
            if entry is not None and (not entry.verified or time.time() - entry.heard_s > UNHEARD_S):
                self.board.drop(agent_id)
        elif listing.id != agent_id:
            self._node.counters.count("market.mapping:misplaced")
            return
        else:
            self.board.put(listing, "", min(time.time(), listing.timestamp or time.time()))
        self._tell(agent_id)

    async def _sweep(self) -> None:
        """Drop what is neither in the mapping nor spoken of any more."""
        while True:
            await asyncio.sleep(SWEEP_S)
            before = time.time() - UNHEARD_S
            silent = [entry for entry in self.board if entry.heard_s < before]
            for number, entry in enumerate(silent):
                agent_id = entry.listing.id
                if self.mapping.get(key_of(agent_id)) is None and self.board.drop(agent_id):
                    self._tell(agent_id)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)

    # -- the topic ---------------------------------------------------------------------------------------------------

    def _judge(self, message: Message) -> Verdict:
        """The real node judges nothing and passes everything on, so what cannot be read is held against nobody."""
        sender = message.sender or b""
        if sender != self._node.peer_id and self._rate.take(sender, time.monotonic()):
            self._node.counters.count("market.topic:too_many")
            return Verdict.IGNORE
        try:
            read_message(message.data)
        except DecodeError:
            self._node.counters.count("market.topic:unreadable")
            return Verdict.IGNORE
        return Verdict.ACCEPT

    async def _hear(self, topic: Topic) -> None:
        with topic.subscribe(buffer=BUFFER, overflow=Overflow.DROP_OLDEST) as subscription:
            async for message in subscription:
                author = message.author
                if author != self._node.peer_id:
                    self.take(read_message(message.data), "" if author is None else str(author))

    # -- connected peers ---------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        if not self._scope.closing:
            self._scope.spawn(self._ask(connection), "market info")

    async def _ask(self, connection: Connection) -> None:
        """Ask a new connection's peer for its listings, if it speaks the protocol now or a little later."""
        if connection.identified is not None:
            await asyncio.wait([connection.identified])
        for pause_s in (ASK_AGAIN_S, None):
            speaks = PROTOCOL_ID in (connection.remote_protocols or ())
            if speaks and (self._was_asked(connection.peer) or await self._ask_once(connection.peer)):
                return
            if pause_s is not None:
                await asyncio.sleep(pause_s)

    def _was_asked(self, peer: PeerId) -> bool:
        """Whether it answered a moment ago."""
        return time.monotonic() - self._asked.get(peer, -ASK_EVERY_S) < ASK_EVERY_S

    async def _ask_once(self, peer: PeerId) -> bool:
        """Whether the peer answered with listings."""
        async with self._asking:
            try:
                frame = Frame(INFO, b"")
                answer = await exchange(self._node, peer, PROTOCOL_ID, frame, typed=False, timeout_s=ANSWER_S)
                listings = read_records(Listing, answer.data)
            except MeshError as error:
                self._node.counters.count("market.info:failed")
                log.debug("info from %s: %s", peer, error)
                return False
            self._asked.pop(peer, None)
            self._asked[peer] = time.monotonic()
            if len(self._asked) > MAX_ASKED:
                del self._asked[next(iter(self._asked))]
            told_by = str(peer)
            for number, listing in enumerate(listings[:MAX_TOLD]):
                self._told_of(listing, told_by)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
        return True

    def _told_of(self, listing: Listing, told_by: str) -> None:
        try:
            check_listing(listing)
        except DecodeError:
            self._node.counters.count("market.info:unreadable")
            return
        if listing.seller_id != self._own and self.board.put(listing, told_by, time.time()):
            self._tell(listing.id)
