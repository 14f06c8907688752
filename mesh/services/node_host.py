"""A node as its services see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.codecs.keys import KeyType
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.assembly import make_swarm
from mesh.network.connection import Connection
from mesh.network.interface_watch import InterfaceWatch
from mesh.network.memory import MemoryTransport
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.services.registry import Registry
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.services.kademlia import Kademlia


class NodeHost:
    """What services ask of their node: each names the part it wants in a protocol of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.peer_id = node.peer_id

    def connection_to(self, peer: PeerId) -> Connection | None:
        found = self._node.swarm.connection_to(peer)
        return None if found is None or found.limited is not None else found

    async def connect(self, target: PeerId, addresses: Iterable[Multiaddr]) -> Connection:
        return await self._node.swarm.dial(target, (), [*self._node.addresses.of(target), *addresses])

    def addresses_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        return self._node.addresses.of(peer)

    def agent_of(self, peer: PeerId) -> str:
        """The program that a peer said it is; empty when it is not known."""
        found = self._node.addresses.details(peer)
        return "" if found is None else found.agent

    @property
    def own_addresses(self) -> list[Multiaddr]:
        return self._node.own_addresses

    @property
    def swarm(self) -> Swarm:
        return self._node.swarm

    @property
    def listening(self) -> list[Multiaddr]:
        return self._node.listening

    def make_stranger(self, scope: Scope) -> Swarm:
        config = self._node.config
        anonymous = replace(
            config, node=replace(config.node, path=None), network=replace(config.network, listen=())
        )
        return make_swarm(
            anonymous, PrivateKey.generate(KeyType.ED25519), Registry(), scope, Counters(), MemoryTransport()
        )

    def allows(self, peer: PeerId, address: Multiaddr) -> bool:
        return self._node.swarm.gater.refusal(peer, address) is None

    def addresses_changed(self) -> None:
        self._node._schedule_push()

    def reachability_changed(self, public: bool | None) -> None:
        self._node.services.set_reachability(public)

    def bootstrap(self) -> None:
        self._node.bootstrap.hurry()

    def protect(self, peer: PeerId, tag: str) -> None:
        self._node.swarm.manager.protect(peer, tag)

    def unprotect(self, peer: PeerId, tag: str) -> None:
        self._node.swarm.manager.unprotect(peer, tag)

    def record_of(self, peer: PeerId) -> bytes | None:
        known = self._node.addresses.record_of(peer)
        return None if known is None else known[0]

    @property
    def directory(self) -> Kademlia | None:
        return self._node.services.dht

    @property
    def watch(self) -> InterfaceWatch:
        return self._node.discovery.watch

    @property
    def punchable(self) -> list[Multiaddr]:
        return self._node.reachability.punchable()
