"""Whether all is well, as the README of the stock daemon defines it (section 2.3); that daemon looks at its relay only.

Healthy is who has a connection to a relay (if relays are configured), a connection to a peer at all, neighbours in the
gossip mesh (if the topic has another member that we know), no connection error in the last five minutes, and a store that
takes what is written. A connection error is a relay, a bootstrap peer or a kept peer that could not be dialled, or whose
connection broke without an end.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mesh.errors import Closed
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.openclaw.announcement import ANNOUNCE_TOPIC, README_ANNOUNCE_TOPIC

if TYPE_CHECKING:
    from mesh.apps.agent.agent import Agent
    from mesh.network.connection import Connection

ERROR_MEMORY_S: Final = 300.0
MAX_ERRORS: Final = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """What health is judged by. ``topic_members`` are the other known members of the agents' topic, ``neighbours`` those
    in this node's mesh of it; both are 0 where pubsub is off. ``errors`` are those of the last five minutes."""

    relay_wanted: bool = False
    relay_connected: bool = False
    relay_address: str | None = None
    connected_peers: int = 0
    topic_members: int = 0
    neighbours: int = 0
    errors: tuple[str, ...] = ()
    storage_problem: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """A judgement: healthy is who has no ``errors``. ``checked_at`` in milliseconds since 1970."""

    facts: Facts
    errors: tuple[str, ...]
    checked_at: int

    @property
    def is_healthy(self) -> bool:
        return not self.errors

    def document(self) -> dict[str, Any]:
        """The part of `/health` that is not the node's identity."""
        return {
            "isHealthy": self.is_healthy,
            "relayConnected": self.facts.relay_connected,
            "relayReservationActive": self.facts.relay_address is not None,
            "relayAddress": self.facts.relay_address,
            "connectedPeers": self.facts.connected_peers,
            "errors": list(self.errors),
        }


def judge(facts: Facts, now: int) -> Health:
    """The judgement of these facts."""
    errors = []
    if facts.relay_wanted and not facts.relay_connected:
        errors.append("no connection to a relay")
    if not facts.connected_peers:
        errors.append("no connected peer")
    if facts.topic_members and not facts.neighbours:
        errors.append("no neighbour in the gossip mesh")
    errors += [f"connection error: {each}" for each in facts.errors]
    if facts.storage_problem:
        errors.append(facts.storage_problem)
    return Health(facts, tuple(errors), now)


class HealthWatch:
    """Collects the facts of a running agent from `start` to `stop`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._relays = _peers_of(agent.settings.relay.relays)
        kept = (*agent.settings.network.bootstrap, *agent.settings.network.peering)
        self._kept = self._relays | _peers_of(kept)
        readme = "readme" in agent.settings.agent.topics and "code" not in agent.settings.agent.topics
        self._topic = README_ANNOUNCE_TOPIC if readme else ANNOUNCE_TOPIC
        self._errors: deque[tuple[float, str]] = deque(maxlen=MAX_ERRORS)

    def start(self) -> None:
        """Begin to notice connections that break."""
        self._agent.node.swarm.observers.disconnected.append(self._disconnected)

    def stop(self) -> None:
        """Notice no more."""
        self._agent.node.swarm.observers.disconnected.remove(self._disconnected)

    def look(self, now: int) -> Health:
        """How the agent does at this instant; takes some microseconds."""
        node, settings = self._agent.node, self._agent.settings
        client = node.relaying.client if node.relaying is not None else None
        named = any(node.swarm.is_connected(each) for each in self._relays)
        members = neighbours = 0
        if settings.gossip.enabled:
            members, neighbours = len(node.pubsub.peers(self._topic)), len(node.pubsub.mesh(self._topic))
        facts = Facts(
            relay_wanted=bool(settings.relay.relays),
            relay_connected=named or bool(client is not None and client.held),
            relay_address=self._agent.relay_address,
            connected_peers=len(self._agent.connected_peers),
            topic_members=members,
            neighbours=neighbours,
            errors=self._recent_errors(),
            storage_problem=self._agent.store.works.problem,
        )
        return judge(facts, now)

    def _recent_errors(self) -> tuple[str, ...]:
        limit = time.monotonic() - ERROR_MEMORY_S
        while self._errors and self._errors[0][0] < limit:
            self._errors.popleft()
        node = self._agent.node
        standing = [
            f"{each.address}: {each.failure}"
            for each in node.bootstrap.peers.values()
            if each.failures and not each.reached
        ]
        standing += [
            f"{each.peer}: {each.failure}"
            for each in node.discovery.peering.peers.values()
            if each.failures and not each.connected
        ]
        return (*standing[:MAX_ERRORS], *(text for _, text in self._errors))

    def _disconnected(self, connection: Connection) -> None:
        reason = connection.close_reason
        if connection.peer in self._kept and reason is not None and type(reason) is not Closed:
            self._errors.append((time.monotonic(), f"{connection.peer}: {reason}"))


def _peers_of(addresses: tuple[str, ...]) -> frozenset[PeerId]:
    found = (Multiaddr.parse(each).peer_id_bytes() for each in addresses)
    return frozenset(PeerId.from_bytes(each) for each in found if each is not None)
