"""Catching up by a snapshot, finding out later whether it was true, and dropping what is too old.

One for each replica. A replica that is `SNAPSHOT_GAP` heights behind asks a trusted peer in its topic for a snapshot and
fetches no nodes meanwhile. Whether a peer runs this program tells what it says it is: one that says otherwise is written
down, and the history of its topic is not dropped any more; one that nobody knows holds it up for an hour.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from mesh.config.crdt import CrdtSection
from mesh.errors import MeshError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.network.scope import Scope
from mesh.protocols.crdt.replica import read_broadcast, write_broadcast
from mesh.services.crdt.history import digest_of, drop, fill, merge_again
from mesh.services.crdt.kept import clear, heads_in, namespace_of, topic_root
from mesh.services.crdt.snapshots import Snapshots
from mesh.services.crdt.source import BlockSource
from mesh.storage.blockstore import Blockstore
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

SNAPSHOT_GAP: Final = 1000
FILL_AGAIN_S: Final = 600.0
"""After so long blocks of a snapshot that nobody had are asked for again."""
DROP_EVERY_S: Final = 3600.0
STRANGE_S: Final = 3600.0
OURS: Final = "mesh/"
"""What the agent version of this program begins with."""


class Behind(Protocol):
    """A running replica."""

    topic: str

    @property
    def gap(self) -> int: ...

    @property
    def generation(self) -> int: ...

    @property
    def namespace(self) -> str: ...

    @property
    def whole(self) -> bool: ...

    def peers(self) -> list[PeerId]: ...

    def wake(self) -> None: ...

    async def replace(self, generation: int, besides: dict[bytes, bytes | None]) -> None: ...


class Host(Protocol):
    """The node."""

    peer_id: PeerId

    def agent_of(self, peer: PeerId) -> str: ...


class CatchingUp:
    """Of one replica. ``snapshots`` takes those of peers; raises nothing but what its callers are told of."""

    def __init__(
        self,
        settings: CrdtSection,
        host: Host,
        blocks: Blockstore,
        source: BlockSource,
        snapshots: Snapshots,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._host = host
        self._blocks = blocks
        self._source = source
        self._snapshots = snapshots
        self._counters = counters
        self._replica: Behind | None = None
        self._scope: Scope | None = None
        self._taking = False
        self._strange_until = 0.0
        self._met: set[PeerId] = set()

    def start(self, replica: Behind, scope: Scope) -> None:
        """Go on with what an earlier run did not finish."""
        self._replica, self._scope = replica, scope
        self._taking = False
        if self._drops:
            scope.spawn(self._drop_now_and_then(replica), "crdt history")
        elif self._row("snapshot") is not None:
            scope.spawn(self._prove(replica), "crdt history")

    # -- by a snapshot -----------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Begin to take a snapshot if the replica is far behind and somebody trusted has one; whether one is taken."""
        replica, scope = self._replica, self._scope
        if self._taking or replica is None or scope is None or replica.gap < SNAPSHOT_GAP:
            return self._taking
        givers = [
            each
            for each in self._snapshots.givers(replica.topic, replica.peers())
            if self._row(f"distrusted/{each}") is None
        ]
        if givers:
            self._taking = True
            scope.spawn(self._take(replica, givers), "crdt snapshot")
        return self._taking

    async def _take(self, replica: Behind, givers: list[PeerId]) -> None:
        datastore, generation = self._blocks.datastore, replica.generation + 1
        namespace = namespace_of(replica.topic, generation)
        try:
            for peer in givers:
                await clear(datastore, f"{namespace}/")
                try:
                    digest = await self._snapshots.take(peer, replica.topic, namespace)
                except MeshError as error:
                    self._counters.count("crdt.snapshots_failed")
                    log.warning("snapshot of %s from %s: %s", replica.topic, peer, error)
                    continue
                heads = heads_in(datastore, namespace)
                note = write_note(peer, digest.value(), heads)
                await replica.replace(generation, {self._key("snapshot"): note})
                log.info("took a snapshot of %s from %s: %d rows", replica.topic, peer, digest.rows)
                await clear(datastore, f"{namespace_of(replica.topic, generation - 1)}/")
                if not self._drops and self._scope is not None:
                    self._scope.spawn(self._prove(replica), "crdt history")
                return
            await clear(datastore, f"{namespace}/")
        finally:
            self._taking = False
            replica.wake()

    async def _prove(self, replica: Behind) -> None:
        """Get the nodes that a snapshot stands for, and find out whether it was true."""
        datastore = self._blocks.datastore
        while missing := await fill(self._blocks, self._source, replica.namespace):
            log.info("%d nodes behind a snapshot of %s are nowhere to be had", missing, replica.topic)
            await asyncio.sleep(FILL_AGAIN_S)
        note = self._row("snapshot")
        if note is None:
            return
        signer, digest, heads = read_note(note)
        generation = replica.generation + 1
        namespace = namespace_of(replica.topic, generation)
        await clear(datastore, f"{namespace}/")
        loop = asyncio.get_running_loop()
        if not await merge_again(self._blocks, heads, namespace, loop.time):
            true = False
        else:
            true = await digest_of(datastore, namespace) == digest
        done: dict[bytes, bytes | None] = {self._key("snapshot"): None}
        if true:
            await datastore.write(done)
            self._counters.count("crdt.snapshots_proven")
        else:
            self._counters.count("crdt.snapshots_lied")
            log.error("the snapshot of %s that %s signed was not true: replaced", replica.topic, signer)
            await replica.replace(generation, {**done, self._key(f"distrusted/{signer}"): b""})
            generation -= 1
        await clear(datastore, f"{namespace_of(replica.topic, generation)}/")

    # -- history -----------------------------------------------------------------------------------------------------

    @property
    def _drops(self) -> bool:
        return self._replica is not None and self._replica.topic in self._settings.drop_history

    def met(self, peer: PeerId) -> None:
        """A peer is in the topic, or wrote a message there."""
        if peer in self._met or peer == self._host.peer_id or self._replica is None:
            return
        agent = self._host.agent_of(peer)
        if agent.startswith(OURS):
            if len(self._met) < 10_000:
                self._met.add(peer)
        elif not agent:
            self._strange_until = asyncio.get_running_loop().time() + STRANGE_S
        elif self._row("foreign") is None and self._scope is not None:
            self._met.add(peer)
            log.info("%s in %s is no node of this program: %s", peer, self._replica.topic, agent[:64])
            self._scope.spawn(
                self._blocks.datastore.put(self._key("foreign"), peer.to_bytes()), "crdt foreign"
            )

    async def drop_history(self) -> int:
        """Remove the blocks that are older than `crdt.history_kept`; how many that were.

        Raises UsageError where others may ask for them: where a replica of another program was seen, or may have been.
        """
        replica = self._replica
        if replica is None or not self._drops:
            raise UsageError("the history of this topic is kept: name it in crdt.drop_history")
        foreign = self._row("foreign")
        if foreign is not None:
            peer = PeerId.from_bytes(foreign)
            raise UsageError(
                f"the history of {replica.topic!r} stays: {peer}, no node of this program, was seen in it"
            )
        if asyncio.get_running_loop().time() < self._strange_until:
            raise UsageError(
                f"the history of {replica.topic!r} stays: a peer that nobody knows wrote in it lately"
            )
        heads = heads_in(self._blocks.datastore, replica.namespace)
        return await drop(self._blocks, heads, replica.namespace, self._settings.history_kept)

    async def _drop_now_and_then(self, replica: Behind) -> None:
        while True:
            await asyncio.sleep(DROP_EVERY_S)
            try:
                dropped = await self.drop_history()
                self._counters.count("crdt.history_dropped", dropped)
            except UsageError as error:
                log.warning("%s", error)

    # -- within ------------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> bytes:
        assert self._replica is not None
        return f"{topic_root(self._replica.topic)}/{name}".encode()

    def _row(self, name: str) -> bytes | None:
        return self._blocks.datastore.get_now(self._key(name))


def write_note(signer: PeerId, digest: bytes, heads: list[Cid]) -> bytes:
    """What is kept of a snapshot until it is proven."""
    name = signer.to_bytes()
    return bytes([len(name)]) + name + digest + write_broadcast(heads)


def read_note(data: bytes) -> tuple[PeerId, bytes, list[Cid]]:
    """The inverse. Raises DecodeError."""
    end = 1 + data[0]
    return PeerId.from_bytes(data[1:end]), data[end : end + 32], list(read_broadcast(data[end + 32 :]))
