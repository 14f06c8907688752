"""The figures of one resource scope and the checks against its limit (libp2p digest, section 23).

`take_*` answers the field of the limit that refuses, or "" when it counted; `return_*` gives back.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.identity.peer_id import PeerId
from mesh.network.resource_limits import Limit


@dataclass(frozen=True, slots=True)
class Standing:
    """What a scope holds (directions apart) and may hold."""

    conns_inbound: int
    conns_outbound: int
    streams_inbound: int
    streams_outbound: int
    memory_bytes: int
    descriptors: int
    limit: Limit


class StreamUsage:
    """What a scope of streams holds."""

    __slots__ = ("kind", "limit", "memory_bytes", "name", "streams_inbound", "streams_outbound")

    def __init__(self, kind: str, name: PeerId | str, limit: Limit) -> None:
        self.kind = kind
        self.name = name
        self.limit = limit
        self.streams_inbound = self.streams_outbound = self.memory_bytes = 0

    def take_stream(self, inbound: bool) -> str:
        limit = self.limit
        if inbound:
            if self.streams_inbound >= limit.streams_inbound:
                return "streams_inbound"
            if self.streams_inbound + self.streams_outbound >= limit.streams:
                return "streams"
            self.streams_inbound += 1
        else:
            if self.streams_outbound >= limit.streams_outbound:
                return "streams_outbound"
            if self.streams_inbound + self.streams_outbound >= limit.streams:
                return "streams"
            self.streams_outbound += 1
        return ""

    def return_stream(self, inbound: bool) -> None:
        if inbound:
            self.streams_inbound -= 1
        else:
            self.streams_outbound -= 1

    def take_memory(self, size: int) -> str:
        if self.memory_bytes + size > self.limit.memory_bytes:
            return "memory_bytes"
        self.memory_bytes += size
        return ""

    @property
    def idle(self) -> bool:
        return not (self.streams_inbound or self.streams_outbound)

    @property
    def standing(self) -> Standing:
        return Standing(0, 0, self.streams_inbound, self.streams_outbound, self.memory_bytes, 0, self.limit)


class ProtocolUsage(StreamUsage):
    """All streams of one protocol, and those of each peer that has some."""

    __slots__ = ("by_peer",)

    def __init__(self, name: str, limit: Limit) -> None:
        super().__init__("protocol", name, limit)
        self.by_peer: dict[Usage, StreamUsage] = {}


class Usage(StreamUsage):
    """What a scope of connections and streams holds."""

    __slots__ = ("conns_inbound", "conns_outbound", "descriptors")

    def __init__(self, kind: str, name: PeerId | str, limit: Limit) -> None:
        super().__init__(kind, name, limit)
        self.conns_inbound = self.conns_outbound = self.descriptors = 0

    def take_connection(self, inbound: bool, descriptors: int) -> str:
        limit = self.limit
        if inbound and self.conns_inbound >= limit.conns_inbound:
            return "conns_inbound"
        if not inbound and self.conns_outbound >= limit.conns_outbound:
            return "conns_outbound"
        if self.conns_inbound + self.conns_outbound >= limit.conns:
            return "conns"
        if self.descriptors + descriptors > limit.descriptors:
            return "descriptors"
        self.descriptors += descriptors
        if inbound:
            self.conns_inbound += 1
        else:
            self.conns_outbound += 1
        return ""

    def return_connection(self, inbound: bool, descriptors: int) -> None:
        self.descriptors -= descriptors
        if inbound:
            self.conns_inbound -= 1
        else:
            self.conns_outbound -= 1

    @property
    def idle(self) -> bool:
        return not (
            self.conns_inbound or self.conns_outbound or self.streams_inbound or self.streams_outbound
        )

    @property
    def standing(self) -> Standing:
        conns = (self.conns_inbound, self.conns_outbound)
        streams = (self.streams_inbound, self.streams_outbound)
        return Standing(*conns, *streams, self.memory_bytes, self.descriptors, self.limit)
