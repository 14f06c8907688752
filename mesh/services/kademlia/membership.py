"""Who comes into the routing table, under which addresses, and who leaves it.

A peer comes in when it announced the protocol (identify) and then answered a request of ours; being named by others
counts for nothing. Peers that connect to us are checked by such a request first, a few at a time, and only while the
table has a use for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from mesh.codecs.kademlia import ConnectionType, Message, MessageType
from mesh.errors import DecodeError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Spawn
from mesh.protocols.kademlia import Admission, RoutingTable, candidate_of
from mesh.protocols.kademlia.providers import Provider
from mesh.protocols.kademlia.reply import closer_peer
from mesh.services.kademlia.address_filter import Filter, with_relayed
from mesh.services.kademlia.host import Host
from mesh.services.kademlia.links import Links
from mesh.telemetry.counters import Counters

MAX_CHECKS: Final = 32
"""Peers checked at a time; further ones wait for their next chance, such as a lookup that meets them."""
CHECK_S: Final = 10.0
AGAIN_S: Final = 60.0
"""A peer that found no place is offered again after this; it answers many lookups before."""
MAX_TURNED_AWAY: Final = 4096
MAX_NAMED_ADDRESSES: Final = 16
"""Addresses of one peer that are passed on."""

_PEER_ID_STARTS: Final = (b"\x00", b"\x12\x20")
"""Identity and sha2-256: the multihashes that peers are named by."""


class Membership:
    """Keeps ``table`` in step with what happens to peers. ``admits`` is the network's address filter."""

    def __init__(
        self,
        host: Host,
        table: RoutingTable[PeerId],
        links: Links,
        protocol: str,
        admits: Filter,
        spawn: Spawn,
        counters: Counters,
    ) -> None:
        self._host = host
        self._table = table
        self._links = links
        self._protocol = protocol
        self._admits = admits
        self._told = with_relayed(admits)
        self._spawn = spawn
        self._counters = counters
        self._checking: set[PeerId] = set()
        self.on_first: Callable[[], None] = lambda: None
        """Called when the table, empty before, has its first member."""
        self._turned_away: dict[PeerId, float] = {}
        self.own_id = host.peer_id.to_bytes()
        self._question = Message(MessageType.FIND_NODE, self.own_id).encode()

    # -- what happens to peers ---------------------------------------------------------------------------------------

    def identified(self, connection: Connection) -> None:
        """A peer said what it serves: check a server, forget one that no longer is."""
        peer = connection.peer
        if self._protocol not in (connection.remote_protocols or ()):
            self._table.remove(peer, time.monotonic())
            return
        if peer in self._table:
            self._rename(peer)
        elif peer not in self._checking and len(self._checking) < MAX_CHECKS and self._candidate(peer):
            self._checking.add(peer)
            self._spawn(self._check(peer), "kademlia check")

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to a peer is gone."""
        self._links.forget(peer)
        self._rename(peer)

    def answered(self, peer: PeerId, now: float) -> None:
        """A peer answered a request of ours."""
        if self._table.useful(peer, now):
            return
        if now < self._turned_away.get(peer, 0.0):
            return
        found = self._candidate(peer)
        if found is not None:
            admission = self._table.admit(found[0], now, useful=True, payload=found[1])
            self._counters.count(f"kademlia.table:{admission.name.lower()}")
            if admission is Admission.ADDED and len(self._table) == 1:
                self.on_first()
            if not admission.admitted:
                if len(self._turned_away) >= MAX_TURNED_AWAY:
                    self._turned_away.clear()
                self._turned_away[peer] = now + AGAIN_S

    def failed(self, peer: PeerId) -> None:
        """A peer could not be asked."""
        if self._table.failed(peer, time.monotonic()):
            self._counters.count("kademlia.table:removed")

    async def check(self, peer: PeerId) -> bool:
        """Ask a member or candidate a question, and treat it as its answer demands."""
        try:
            await self._links.request(peer, (), self._question, CHECK_S)
        except MeshError:
            self.failed(peer)
            return False
        self.answered(peer, time.monotonic())
        return True

    # -- what is said of peers ---------------------------------------------------------------------------------------

    def own_name(self) -> bytes:
        """This node as others are told of it, encoded."""
        addresses = self._told(self._host.own_addresses)
        return closer_peer(self.own_id, [each.to_bytes() for each in addresses], ConnectionType.CONNECTED)

    def name_of(self, peer_id: bytes, asker: PeerId) -> bytes | None:
        """A peer whose addresses are known, member or not, encoded; None for the asker and for others."""
        if not peer_id.startswith(_PEER_ID_STARTS):
            return None
        try:
            peer = PeerId.from_bytes(peer_id)
        except DecodeError:
            return None
        if peer == asker:
            return None
        entry = self._table.get(peer)
        return entry.payload if entry is not None else self._name(peer, self._told)

    def shown(self, provider: Provider) -> list[Multiaddr]:
        """A provider's addresses, or those known otherwise, that belong to the network."""
        return self._told(provider.addresses or self._host.addresses_of(provider.peer))

    def admits(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """Those that belong to the network."""
        return self._admits(addresses)

    def told(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """Those that are told of a peer, or believed of it: they belong to the network, or to relays in it."""
        return self._told(addresses)

    # -- within ------------------------------------------------------------------------------------------------------

    async def _check(self, peer: PeerId) -> None:
        try:
            await self.check(peer)
        finally:
            self._checking.discard(peer)

    def _candidate(self, peer: PeerId) -> tuple[Any, bytes] | None:
        """A connected peer as the table wants it, with its payload; None when it does not belong to the network."""
        connection = self._host.connection_to(peer)
        if connection is None or not self._admits((connection.remote,)):
            return None
        name = self._name(peer, self._admits)
        return (candidate_of(peer, (connection.remote,)), name) if name is not None else None

    def _rename(self, peer: PeerId) -> None:
        if peer in self._table and (name := self._name(peer, self._admits)) is not None:
            self._table.describe(peer, name)

    def _name(self, peer: PeerId, admits: Filter) -> bytes | None:
        addresses = admits(self._host.addresses_of(peer))[:MAX_NAMED_ADDRESSES]
        if not addresses:
            return None
        connected = self._host.connection_to(peer) is not None
        kind = ConnectionType.CONNECTED if connected else ConnectionType.NOT_CONNECTED
        return closer_peer(peer.to_bytes(), [each.to_bytes() for each in addresses], kind)
