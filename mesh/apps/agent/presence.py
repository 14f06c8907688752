"""This agent among others: what it announces, whom it hears of, what they say of themselves."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from mesh import __version__
from mesh.apps.agent.announcing import Announcing, Listing
from mesh.apps.agent.directory import Directory
from mesh.apps.agent.mail import now_ms
from mesh.apps.agent.records import (
    AgentEvent,
    DirectoryChanged,
    FoundPeer,
    NodeStatus,
    PeerChanged,
    ServiceInfo,
    TrackedPeer,
)
from mesh.apps.agent.status_sharing import StatusSharing
from mesh.apps.agent.store import AgentStore, address_book
from mesh.apps.agent.topics import ANNOUNCE_TOPICS, DIRECTORY_TOPICS, STATUS_TOPICS, join
from mesh.config import AgentSection
from mesh.errors import ConfigError, DecodeError, PeerError, UsageError
from mesh.identity.elliptic import Secp256k1Private
from mesh.network.scope import Scope
from mesh.protocols.openclaw.announcement import Announcement, read_announcement, read_status
from mesh.protocols.openclaw.attestation import Attestation
from mesh.protocols.openclaw.listing import read_listing, write_listing
from mesh.services.gossip.subscription import Message, Overflow
from mesh.services.gossip.topic import Topic

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

KEY_VARIABLE: Final = "BSV_PRIVATE_KEY"
EXPIRE_S: Final = 10.0
BUFFER: Final = 1024


class Presence:
    """``offered`` gives the services of this agent, ``name`` what it is called; with ``bsv_key`` it attests its peer id.
    Without pubsub the directory stays empty."""

    def __init__(
        self,
        node: Node,
        store: AgentStore,
        offered: Callable[[], Sequence[ServiceInfo]],
        name: Callable[[], str],
        bsv_key: bytes | None,
        tell: Callable[[Sequence[AgentEvent]], None],
    ) -> None:
        settings = node.config.agent
        self._node = node
        self._store = store
        self._offered = offered
        self._name = name
        self._tell = tell
        self._settings = settings
        self._bsv_key = bsv_key
        self._scope = Scope("agent presence")
        self.directory = Directory(int(settings.announce_ttl_s * 1000))
        self._topics: list[Topic] = []
        self._announcing: Announcing | None = None
        self._sharing: StatusSharing | None = None
        self._listing: Listing | None = None
        self.started_at = now_ms()

    @property
    def running(self) -> bool:
        """Whether the topics are joined."""
        return self._announcing is not None

    def start(self) -> None:
        """Join the topics, if pubsub is on. Raises `UsageError` for a topic that is joined already."""
        if not self._node.config.gossip.enabled:
            return
        names, pubsub, counters = self._settings.topics, self._node.pubsub, self._node.counters
        announce = [join(pubsub, ANNOUNCE_TOPICS[name], counters) for name in names]
        status = [join(pubsub, STATUS_TOPICS[name], counters) for name in names]
        directory = [
            join(pubsub, DIRECTORY_TOPICS[name], counters) for name in names if name in DIRECTORY_TOPICS
        ]
        self._topics = [*announce, *status, *directory]
        self._announcing = Announcing(
            announce, self._announcement, self.own_addresses, self._settings.announce_interval_s
        )
        self._sharing = StatusSharing(status, self.own_status, self._settings.status_interval_s, now_ms)
        if directory:
            self._listing = Listing(directory, self._told, self._settings.announce_interval_s)
            self._scope.spawn(self._listing.run(), "listing")
        for topic in directory:
            self._scope.spawn(self._hear_listings(topic), "listings")
        for topic in announce:
            self._scope.spawn(self._hear_announcements(topic), "announcements")
        for topic in status:
            self._scope.spawn(self._hear_status(topic), "node status")
        self._scope.spawn(self._announcing.run(), "announcing")
        self._scope.spawn(self._sharing.run(), "status sharing")
        self._scope.spawn(self._expire(), "directory")

    async def stop(self) -> None:
        """Leave the topics."""
        await self._scope.close()
        for topic in self._topics:
            await topic.leave()
        self._topics = []
        self._announcing = self._sharing = self._listing = None

    # -- this agent --------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Its services or its name changed: announce that."""
        if self._announcing is not None:
            self._announcing.hurry()

    def own_addresses(self) -> tuple[str, ...]:
        """Where it is reached now, relays included, each with its peer id."""
        return tuple(f"{address}/p2p/{self._node.peer_id}" for address in self._node.own_addresses)

    def own_status(self) -> NodeStatus:
        """What it says of itself now."""
        now = now_ms()
        return NodeStatus(
            peer_id=str(self._node.peer_id),
            name=self._name(),
            multiaddrs=self.own_addresses(),
            services=tuple(each.id for each in self._offered()),
            version=__version__,
            uptime=max(0, now - self.started_at) // 1000,
            connected_peers=len(self._node.swarm.peers),
            timestamp=now,
        )

    async def broadcast(self) -> None:
        """Tell status and announcement now. Raises `UsageError` when pubsub is off."""
        if self._sharing is None or self._announcing is None:
            raise UsageError("the agent topics are not joined: set gossip.enabled to true")
        await self._sharing.broadcast()
        await self._announcing.announce()

    # -- others ------------------------------------------------------------------------------------------------------

    @property
    def statuses(self) -> tuple[NodeStatus, ...]:
        """The last status of each other."""
        return () if self._sharing is None else self._sharing.peers

    @property
    def last_broadcast(self) -> int:
        """When this agent's status was told last; 0 for never."""
        return 0 if self._sharing is None else self._sharing.last_broadcast

    # -- within ------------------------------------------------------------------------------------------------------

    def _announcement(self) -> Announcement:
        now, key, attestation = now_ms(), self._settings.bsv_identity_key, ""
        if self._bsv_key is not None:
            made = Attestation.make(self._bsv_key, self._node.peer_id, now)
            key, attestation = made.key.hex(), str(made)
        services = tuple(each.document() for each in self._offered())
        return Announcement(str(self._node.peer_id), key, services, self.own_addresses(), now, attestation)

    async def _hear_announcements(self, topic: Topic) -> None:
        async for message in self._messages(topic):
            try:
                announcement = read_announcement(message.data, message.author)
            except (DecodeError, PeerError) as error:
                log.debug("an announcement slipped through: %s", error)
                continue
            heard = self.directory.hear(announcement, now_ms())
            if heard is None:
                continue
            found, fresh = heard
            if fresh and self._announcing is not None:
                self._announcing.greet(len(self.directory))
            if fresh and self._listing is not None:
                self._listing.hurry()
            await self._store.write(lambda database: _note(database, found))  # noqa: B023 - awaited here
            self._tell([DirectoryChanged(found.peer_id, found)])

    def _told(self) -> bytes:
        """What this agent heard from others; nothing while it heard nobody."""
        peers = self.directory.listing(random.Random())
        return write_listing(peers) if peers else b""

    async def _hear_listings(self, topic: Topic) -> None:
        async for message in self._messages(topic):
            try:
                listing = read_listing(message.data, message.author)
            except (DecodeError, PeerError) as error:
                log.debug("a listing slipped through: %s", error)
                continue
            own = str(self._node.peer_id)
            others = [each for each in listing if each.peer_id != own]
            self.directory.hear_of(str(message.author), others, now_ms())

    async def _hear_status(self, topic: Topic) -> None:
        async for message in self._messages(topic):
            try:
                status = read_status(message.data, message.author)
            except (DecodeError, PeerError) as error:
                log.debug("a status slipped through: %s", error)
                continue
            found = None if self._sharing is None else self._sharing.hear(status)
            if found is None:
                continue
            peer = await self._store.write(
                lambda database: address_book.told_status(database, found, now_ms())  # noqa: B023 - awaited here
            )
            self._tell([PeerChanged(peer)])

    async def _messages(self, topic: Topic) -> AsyncIterator[Message]:
        """What others say in a topic; a slow reader loses what is oldest."""
        with topic.subscribe(buffer=BUFFER, overflow=Overflow.DROP_OLDEST) as subscription:
            async for message in subscription:
                if message.author != self._node.peer_id:
                    yield message

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            self._tell([DirectoryChanged(peer, None) for peer in self.directory.expire(now_ms())])


def _note(database: sqlite3.Connection, found: FoundPeer) -> TrackedPeer:
    ids = [each.id for each in found.services]
    return address_book.announced(database, found.peer_id, ids, found.multiaddrs, now_ms())


def bsv_key_of(settings: AgentSection) -> bytes | None:
    """The BSV key of the environment, else of the file. Raises `ConfigError`, which never shows it."""
    path = settings.bsv_key_file
    text = os.environ.get(KEY_VARIABLE, "")
    origin = KEY_VARIABLE
    if not text and path is not None:
        origin = f"agent.bsv_key_file: {path}"
        try:
            with open(path, encoding="ascii") as file:
                text = file.read(256)
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"{origin} cannot be read") from None
    if not text:
        return None
    try:
        return Secp256k1Private(bytes.fromhex(text.strip())).raw
    except (ValueError, DecodeError):
        raise ConfigError(f"{origin} is no private key of 64 hexadecimal digits") from None
