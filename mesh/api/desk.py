"""What every route gets: the node, its watch, and how text of a request becomes what the node takes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from mesh.api.watch import Watch
from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.gater import Gater
from mesh.network.resources import Resources
from mesh.node import Node
from mesh.telemetry.metrics import Metrics, Readings, ScopeReading


class Desk:
    """A running node as the routes see it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.watch = Watch(node)
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


async def _desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    if not isinstance(desk, Desk):
        raise UsageError("the application has no node")
    return desk


AtDesk = Annotated[Desk, Depends(_desk_of)]


def target_of(text: str) -> Multiaddr | PeerId:
    """Peer or address in a request. Raises `UsageError`."""
    try:
        return Multiaddr.parse(text) if text.startswith("/") else PeerId.parse(text)
    except DecodeError as error:
        kind = "a multiaddr" if text.startswith("/") else "a peer id or multiaddr"
        raise UsageError(f"{text!r} is not {kind}: {error}") from None


def peer_of(text: str) -> PeerId:
    """Peer in a request, by its id or an address that ends in it. Raises `UsageError`."""
    target = target_of(text)
    if isinstance(target, PeerId):
        return target
    data = target.peer_id_bytes()
    if data is None:
        raise UsageError(f"{text!r} names no peer")
    return PeerId.from_bytes(data)
