"""What every route gets: the node, its watch and its figures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from mesh.api.watch import Watch
from mesh.errors import UsageError
from mesh.network.gater import Gater
from mesh.network.resources import Resources
from mesh.node import Node
from mesh.services.diagnosis import Diagnosis
from mesh.services.node_host import NodeHost
from mesh.telemetry.lethean_metrics import LetheanReading
from mesh.telemetry.metrics import DhtReading, Metrics, PubsubReading, Readings, ScopeReading
from mesh.telemetry.reachability_metrics import ReachabilityReading
from mesh.telemetry.relay_metrics import RelayReading

if TYPE_CHECKING:
    from mesh.apps.beam.beam import Beam
    from mesh.apps.lethean.service import LetheanService


class Desk:
    """A running node as the routes see it."""

    def __init__(self, node: Node, lethean: LetheanService | None = None, beam: Beam | None = None) -> None:
        self.node = node
        self.lethean = lethean
        self.beam = beam
        self.watch = Watch(node)
        self.diagnosis = Diagnosis(node, NodeHost(node).make_stranger)
        self.metrics = Metrics(self.readings)

    @property
    def resources(self) -> Resources:
        return self.node.swarm.resources

    @property
    def gater(self) -> Gater:
        """The node's rules."""
        return self.node.swarm.gater

    @property
    def streams(self) -> int:
        return sum(connection.stream_count for connection in self.node.connections)

    def readings(self) -> Readings:
        """Every figure of the node at this instant."""
        node, watch, resources = self.node, self.watch, self.resources
        swarm = node.swarm
        return Readings(
            counters=node.counters.snapshot(),
            opened=watch.opened,
            closed=watch.closed,
            identified=watch.identified,
            connections=len(swarm.connections),
            peers=len(swarm.peers),
            streams=self.streams,
            held_bytes=swarm.memory.used_bytes,
            held_peak_bytes=swarm.memory.peak_bytes,
            loop_lag_p99_s=watch.lag.p99_s,
            loop_lag_max_s=watch.lag.max_s,
            scopes=_scopes(resources) if resources is not None else (),
            refusals=dict(resources.refusals) if resources is not None else {},
            dht=_dht(node),
            pubsub=_pubsub(node),
            relay=_relay(node),
            reachability=_reachability(node),
            lethean=_lethean(self.lethean),
        )


def _scopes(resources: Resources) -> tuple[ScopeReading, ...]:
    readings = []
    for name, standing in resources.snapshot().items():
        scope, _, protocol = name.partition(":")
        conns = (standing.conns_inbound, standing.conns_outbound)
        streams = (standing.streams_inbound, standing.streams_outbound)
        held = (standing.memory_bytes, standing.descriptors)
        readings.append(ScopeReading(scope, protocol, *conns, *streams, *held))
    return tuple(readings)


def _dht(node: Node) -> DhtReading | None:
    if node.config.kademlia.mode == "off":
        return None
    dht = node.dht
    return DhtReading(dht.mode.value, len(dht.table), len(dht.records), len(dht.providers))


def _pubsub(node: Node) -> PubsubReading | None:
    if not node.config.gossip.enabled:
        return None
    pubsub = node.pubsub
    topics = pubsub.topics()
    mesh_peers = sum(len(pubsub.mesh(topic)) for topic in topics)
    return PubsubReading(len(pubsub.peers()), len(topics), mesh_peers, pubsub.counts())


def _reachability(node: Node) -> ReachabilityReading:
    found = node.reachability
    states = [each.state.value for each in found.addresses if each.source == "autonat-v2"]
    return ReachabilityReading(found.state.value, found.confidence, Counter(states))


def _relay(node: Node) -> RelayReading | None:
    relaying = node.relaying
    if relaying is None:
        return None
    held = 0 if relaying.client is None else len(relaying.client.held)
    server = relaying.server
    if server is None:
        return RelayReading(serving=False, held=held)
    return RelayReading(
        serving=True,
        reservations=len(server.reservations),
        circuits=server.reservations.circuits,
        transferred_bytes=server.transferred_bytes,
        lasted=server.durations,
        lasted_s=server.lasted_s,
        held=held,
    )


def _lethean(service: LetheanService | None) -> LetheanReading | None:
    if service is None:
        return None
    miners = () if service.supervisor is None else service.supervisor.figures()
    links = service.node.links.values()
    dialled = sum(link.dialled for link in links)
    return LetheanReading(len(links) - dialled, dialled, len(service.registry), len(miners))


async def _desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    if not isinstance(desk, Desk):
        raise UsageError("the application has no node")
    return desk


AtDesk = Annotated[Desk, Depends(_desk_of)]
