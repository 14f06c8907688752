"""What the router keeps of one connected peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from mesh.codecs.gossip import Extensions
from mesh.protocols.gossip.message import PartSupport, PeerT
from mesh.protocols.gossip.send_queue import SendQueue
from mesh.protocols.gossip.settings import GossipSettings, Limits
from mesh.protocols.gossip.version import Version


class PeerState(Generic[PeerT]):
    """One connected peer. Inside the router peers are told apart by these objects, which hash faster than ids."""

    __slots__ = (
        "_beat",
        "announcements",
        "asked",
        "connected",
        "declined",
        "declined_bytes",
        "declines",
        "direct",
        "dirty",
        "exchanges",
        "extensions",
        "gossip",
        "greeted",
        "meshes",
        "outbound",
        "peer",
        "queue",
        "refusals",
        "topics",
        "version",
    )

    def __init__(self, peer: PeerT, version: Version, outbound: bool, direct: bool, limits: Limits) -> None:
        self.peer = peer
        self.version = version
        self.outbound = outbound
        """This node dialled it."""
        self.direct = direct
        self.connected = True
        self.meshes = version.meshes
        self.exchanges = version.exchanges
        self.declines = version.declines
        self.queue = SendQueue(limits, version)
        self.dirty = False
        """Its queue got something since the owner asked."""
        self.greeted = False
        """Its first RPC has come."""
        self.extensions: Extensions | None = None
        """What it announced in its first RPC."""
        self.topics: dict[str, PartSupport] = {}
        """Those it is in, with what it does with parts there."""
        self.declined: dict[bytes, int] = {}
        """Ids it does not want to be sent, with the beat until which they are heeded, in order of that beat."""
        self.declined_bytes = 0
        """Of those ids, together."""
        self.gossip: list[bytes] = []
        """IHAVE of this beat, encoded and not queued yet."""
        self._beat = 0
        self.announcements = 0
        self.asked = 0
        self.refusals = 0
        """IHAVE RPCs looked at, ids asked for and IDONTWANT RPCs heeded since the last beat."""

    def wants_parts(self, topic: str) -> bool:
        """Whether it asked for partial messages in a topic."""
        return self._parts and self.topics.get(topic) is PartSupport.WANTS

    def sends_parts(self, topic: str) -> bool:
        """Whether it sends partial messages in a topic."""
        return self._parts and self.topics.get(topic, PartSupport.NONE) is not PartSupport.NONE

    @property
    def _parts(self) -> bool:
        return self.extensions is not None and bool(self.extensions.partial_messages)

    def renew(self, beat: int) -> None:
        """Starts the counters of a beat anew, when it is another than the last."""
        if self._beat != beat:
            self._beat = beat
            self.announcements = self.asked = self.refusals = 0

    def decline(self, ids: Sequence[bytes], beat: int, settings: GossipSettings) -> None:
        """Remembers that it does not want these messages, within the bounds."""
        declined = self.declined
        until = beat + settings.idontwant_ticks
        for id in ids:
            if declined.pop(id, None) is None:
                if self.declined_bytes + len(id) > settings.max_declined_bytes:
                    continue
                self.declined_bytes += len(id)
            declined[id] = until

    def forget_declined(self, beat: int) -> None:
        """Drops what has been heeded long enough."""
        declined = self.declined
        while declined:
            id = next(iter(declined))
            if declined[id] > beat:
                return
            del declined[id]
            self.declined_bytes -= len(id)
