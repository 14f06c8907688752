"""One replica, its topic and its stores."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from mesh.codecs.crdt import MAX_HEADS
from mesh.errors import Closed, DecodeError, LimitError, MeshError, StorageError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block, store_name
from mesh.multiformats.cid import Cid
from mesh.network.scope import Scope
from mesh.protocols.crdt.delta import clean_key
from mesh.protocols.crdt.layout import WANTED, Layout
from mesh.protocols.crdt.replica import (
    REBROADCAST_S,
    Changed,
    Refused,
    Replica,
    read_broadcast,
    write_broadcast,
)
from mesh.protocols.gossip import Verdict
from mesh.services.crdt.catching_up import CatchingUp
from mesh.services.crdt.kept import becomes_current, heads_in, namespace_of, open_generation
from mesh.services.crdt.pending import PendingState
from mesh.services.crdt.source import BlockSource
from mesh.services.crdt.watch import Watch
from mesh.services.gossip import Message, Pubsub, Topic
from mesh.storage.blockstore import Blockstore
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

GREETING_S: Final = 0.3
"""So long after a peer came, and up to twice as long, everybody tells the heads that it may lack."""
FETCHES_AT_ONCE: Final = 64
FETCH_S: Final = 300.0
"""For one block; the next broadcast of its head has it sought again."""
STEPS_AT_ONCE: Final = 32
"""Blocks looked up, and nodes merged, before the loop goes on with something else."""
WRITTEN_BEHIND: Final = 50_000
"""Entries changed but not yet written, beyond which merging waits for the disk."""
SHUNNED_S: Final = 600.0
"""So long are the broadcasts of a peer rejected that led to what is no branch."""
MAX_SHUNNED: Final = 1024
_OVERHEAD_BYTES: Final = 64 * 1024
"""What a node may take besides the keys and values in it."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a replica is. `behind` counts nodes known to be missing: 0 means converged with all it has heard of."""

    topic: str
    heads: dict[Cid, int]
    behind: int
    counts: dict[str, int]
    peers: int


class Crdt:
    """A replicated mapping of text keys to bytes; keys look like paths. Made by `Node.crdt`. ``told`` hears which peers
    were told of heads.

    Reading is immediate and sees own changes at once. Every method may raise StorageError; after a failed write the
    replica takes no more changes until it is started again.
    """

    def __init__(
        self,
        topic: str,
        pubsub: Pubsub,
        blocks: Blockstore,
        source: BlockSource,
        counters: Counters,
        *,
        rebroadcast_s: float = REBROADCAST_S,
        catching_up: CatchingUp | None = None,
        told: Callable[[list[PeerId]], None] | None = None,
    ) -> None:
        self.topic = topic
        self._pubsub = pubsub
        self._blocks = blocks
        self._state = PendingState(blocks.datastore)
        self._source = source
        self._counters = counters
        self._rebroadcast_s = rebroadcast_s
        self._generation = 0
        self._catching_up = catching_up
        self._told = told
        self._replica: Replica | None = None
        self._joined: Topic | None = None
        self._scope: Scope | None = None
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._greeting = False
        self._behind: asyncio.Task[None] | None = None
        self._failure: MeshError | None = None
        self._to_fetch: deque[Cid] = deque()
        self._fetching = 0
        self._watches: set[Watch] = set()
        self._shunned: dict[bytes, float] = {}

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Read what is stored, join the topic, catch up. Raises StorageError, UsageError."""
        self._generation = await open_generation(self._blocks.datastore, self.topic)
        self._replica = self._made(self._generation)
        self._joined = self._pubsub.join(self.topic, self._judge)
        self._joined.newcomers.append(self._greet)
        self._scope = Scope(f"crdt {self.topic}", scope)
        self._scope.spawn(self._listen(self._joined), "crdt broadcasts", on_error=self._fail)
        self._scope.spawn(self._run(), "crdt", on_error=self._fail)
        if self._catching_up is not None:
            self._catching_up.start(self, self._scope)

    async def stop(self) -> None:
        """Write what has been merged and leave the topic. Safe to call twice."""
        scope = self._scope
        if scope is None:
            return
        while self._failure is None and self._replica is not None and self._replica.unwritten:
            await self._flush()
        self._scope = None
        await scope.close()
        if self._joined is not None:
            await self._joined.leave()
        async with self._writing:
            self._replica = self._joined = None
        for watch in list(self._watches):
            watch.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor ended by a failure."""
        return self._scope is not None and self._failure is None

    # -- the mapping -------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """The value of a key."""
        return self._running().get(key)

    def below(self, prefix: str = "/") -> list[tuple[str, bytes]]:
        """Keys and values at or below a key, in the order of the keys."""
        return self._running().below(prefix)

    async def put(self, key: str, value: bytes, *, again: bool = False) -> None:
        """Set a key; returns once that is safe. A value that it has already makes no node, unless `again`.

        Raises LimitError when the block store is full, UsageError over the limits of the format.
        """
        replica = self._running()
        if again or replica.get(key) != value:
            self._check_room(len(key) + len(value))
            replica.put(key, value)
            await self._flush()

    async def delete(self, key: str) -> None:
        """Remove a key; nothing happens for one without a value."""
        self._check_room(0)
        if self._running().delete(key) is not None:
            await self._flush()

    async def batch(self, changes: Iterable[tuple[str, bytes | None]]) -> None:
        """Put, or with None delete, several keys: one node for each mebibyte of them."""
        listed = list(changes)
        self._check_room(sum(len(key) + len(value or b"") for key, value in listed))
        if self._running().batch(listed):
            await self._flush()

    def watch(self, prefix: str = "/") -> Watch:
        """Changes at or below a key, from now on, of whoever made them."""
        self._running().watched = True
        return Watch(clean_key(prefix), self._watches)

    def hear(self, broadcast: bytes) -> None:
        """Take in a broadcast that came another way than over pubsub; what cannot be read is counted."""
        self._running().receive(broadcast, b"", asyncio.get_running_loop().time())
        self._wake.set()

    def status(self) -> Status:
        """How far this replica is."""
        replica = self._running()
        peers = len(self._joined.peers()) if self._joined is not None else 0
        return Status(self.topic, replica.heads, replica.behind, dict(replica.counts), peers)

    def keep(self) -> list[Cid]:
        """Roots of what garbage collection has to leave: the whole history, which others may ask for."""
        return self._running().needed()

    def _running(self) -> Replica:
        if self._failure is not None:
            raise StorageError(f"the replica of {self.topic!r} has failed: {self._failure}; start it again")
        if self._replica is None:
            raise UsageError(f"the replica of {self.topic!r} is not running")
        return self._replica

    def _check_room(self, size: int) -> None:
        usage = self._blocks.usage
        if usage.bytes + size + _OVERHEAD_BYTES > usage.max_bytes:
            raise LimitError("blocks", "bytes", usage.max_bytes, "blocks.max_bytes")

    @property
    def namespace(self) -> str:
        """Where the rows of this replica are."""
        return namespace_of(self.topic, self._generation)

    @property
    def whole(self) -> bool:
        """Whether it runs, and lacks nothing that its heads build on."""
        return self.running and self._replica is not None and self._replica.whole

    @property
    def gap(self) -> int:
        """How much higher the highest node that came is than what is merged."""
        return self._running().gap

    def wake(self) -> None:
        """Go on with what waits."""
        self._wake.set()

    def peers(self) -> list[PeerId]:
        """Connected peers in the topic."""
        return [] if self._joined is None else self._joined.peers()

    @property
    def generation(self) -> int:
        """Which set of rows is in use; see `mesh.services.crdt.kept`."""
        return self._generation

    async def replace(self, generation: int, besides: Mapping[bytes, bytes | None]) -> None:
        """Go on with the rows of another generation, and write other entries with that. What was merged or heard of so
        far and is not part of it is merged again."""
        try:
            async with self._writing:
                old = self._running()
                blocks, changes = old.blocks(), old.changes()
                while blocks or changes:
                    await self._write(blocks, changes)
                    blocks, changes = old.blocks(), old.changes()
                layout = Layout(namespace_of(self.topic, generation))
                heard = heads_in(self._blocks.datastore, self.namespace)
                again = {
                    layout.wanted(store_name(each)): WANTED + each.to_bytes()
                    for each in heard
                    if self._state.get(layout.processed(store_name(each))) is None
                }
                changes = {**again, **becomes_current(self.topic, generation), **besides}
                self._state.pend(changes)
                self._generation, self._replica = generation, self._made(generation)
                self._to_fetch.clear()
                await self._write([], changes)
        except MeshError as error:
            self._fail(error)
            raise
        for data in old.broadcasts():
            await self._publish(data)
        self._wake.set()

    def _made(self, generation: int) -> Replica:
        return Replica(
            self._state,
            self._blocks.get,
            namespace=namespace_of(self.topic, generation),
            rebroadcast_s=self._rebroadcast_s,
            random=random.random,
            now=asyncio.get_running_loop().time(),
        )

    async def drop_history(self) -> int:
        """Remove blocks that are older than `crdt.history_kept`, if that is wanted for this topic and nobody else may ask
        for them; how many that were."""
        if self._catching_up is None:
            return 0
        try:
            return await self._catching_up.drop_history()
        except UsageError as error:
            log.debug("%s", error)
            return 0

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Write all that was changed by now, then tell of it. Those that come meanwhile share the next write."""
        async with self._writing:
            replica = self._running()
            blocks, changes = replica.blocks(), replica.changes()
            broadcasts, events = replica.broadcasts(), replica.events()
            if blocks or changes:
                try:
                    await self._write(blocks, changes)
                except MeshError as error:
                    self._fail(error)
                    raise
        for event in events:
            if isinstance(event, Changed):
                for watch in list(self._watches):
                    watch.put(event)
            else:
                self._shun(event)
        for data in broadcasts:
            await self._publish(data)

    async def _write(self, blocks: Iterable[Block], changes: Mapping[bytes, bytes | None]) -> None:
        self._state.pend(changes)
        await self._blocks.put(*blocks, besides=changes)
        self._state.settle()

    def _flush_behind(self) -> None:
        """Have it written while more is merged."""
        if self._scope is not None and (self._behind is None or self._behind.done()):
            self._behind = self._scope.spawn(self._flush(), "crdt write", on_error=self._fail)

    async def _publish(self, data: bytes) -> None:
        if self._joined is None or self._replica is None:
            return
        self._replica.receive(data, b"", asyncio.get_running_loop().time())
        try:
            await self._joined.publish(data)
            if self._told is not None:
                self._told(self.peers())
        except (Closed, LimitError, UsageError) as error:
            self._counters.count("crdt.untold")
            log.debug("broadcast in %s: %s", self.topic, error)

    def _fail(self, error: MeshError) -> None:
        if self._failure is None:
            self._failure = error
            log.error("replica of %s: %s", self.topic, error)

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _judge(self, message: Message) -> Verdict:
        """Broadcasts that cannot be read, and those of peers that led astray, count against whoever passes them on."""
        sender = message.sender or b""
        until = self._shunned.get(sender)
        if until is not None and until > asyncio.get_running_loop().time():
            self._counters.count("crdt.shunned")
            return Verdict.REJECT
        try:
            read_broadcast(message.data)
        except DecodeError:
            self._counters.count("crdt.no_broadcast")
            return Verdict.REJECT
        return Verdict.ACCEPT

    def _shun(self, event: Refused) -> None:
        self._counters.count("crdt.refused")
        log.info("crdt %s: %s", self.topic, event.reason)
        if event.source:
            if len(self._shunned) >= MAX_SHUNNED:
                self._shunned.pop(next(iter(self._shunned)))
            self._shunned[event.source] = asyncio.get_running_loop().time() + SHUNNED_S

    async def _listen(self, topic: Topic) -> None:
        loop = asyncio.get_running_loop()
        with topic.subscribe() as subscription:
            async for message in subscription:
                if self._catching_up is not None and message.author is not None:
                    self._catching_up.met(message.author)
                self._running().receive(message.data, message.sender or b"", loop.time())
                self._wake.set()

    def _greet(self, peer: PeerId) -> None:
        """A peer came into the topic: it is told the heads a little later, with all others that come meanwhile."""
        if self._catching_up is not None:
            self._catching_up.met(peer)
        if (
            self._scope is not None
            and not self._scope.closing
            and not self._greeting
            and self._running().heads
        ):
            self._greeting = True
            self._scope.spawn(self._tell_newcomers(), "crdt heads")

    async def _tell_newcomers(self) -> None:
        await asyncio.sleep(GREETING_S * (1 + random.random()))
        self._greeting = False
        await self._publish(write_broadcast(list(self._running().heads)[:MAX_HEADS]))

    # -- catching up -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Fetch and merge whatever there is, and wake the replica when it is time."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            more = self._step()
            if more and self._running().unwritten < WRITTEN_BEHIND:
                self._flush_behind()
                await asyncio.sleep(0)
                continue
            await self._flush()
            if more:
                continue
            replica = self._running()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(replica.deadline()):
                    await self._wake.wait()
            if loop.time() >= replica.deadline():
                replica.wake(loop.time())

    def _step(self) -> bool:
        """Look up what is wanted, and merge; whether there is more to do at once."""
        replica, now = self._running(), asyncio.get_running_loop().time()
        replica.watched = bool(self._watches)
        self._to_fetch += replica.wanted()
        looked_up = 0
        if self._waits():
            return replica.merge(STEPS_AT_ONCE)
        while self._to_fetch and looked_up < STEPS_AT_ONCE and self._fetching < FETCHES_AT_ONCE:
            cid = self._to_fetch.popleft()
            looked_up += 1
            block = self._blocks.get(cid)
            if block is not None:
                replica.arrived(block, now, kept=True)
                self._to_fetch += replica.wanted()
            elif self._scope is not None:
                self._fetching += 1
                self._scope.spawn(self._fetch(cid), "crdt block")
        more = replica.merge(STEPS_AT_ONCE)
        return more or looked_up > 0

    def _waits(self) -> bool:
        """Whether no nodes are fetched because a snapshot is on its way."""
        return self._catching_up is not None and self._catching_up.look()

    async def _fetch(self, cid: Cid) -> None:
        """Get a block, and then what it alone leads to, without a detour through the disk and the other task."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                async with asyncio.timeout(FETCH_S):
                    block = await self._source.get(cid)
                replica = self._running()
                replica.arrived(block, loop.time())
                self._to_fetch += replica.wanted()
                if len(self._to_fetch) != 1 or self._blocks.has(self._to_fetch[0]) or self._waits():
                    return
                cid = self._to_fetch.popleft()
        except (MeshError, TimeoutError) as error:
            self._counters.count("crdt.unobtainable")
            log.debug("block %s of %s: %s", cid, self.topic, error)
            if self._replica is not None:
                self._replica.unobtainable(cid, loop.time())
        finally:
            self._fetching -= 1
            self._wake.set()
