"""A program that sends messages in up to 8 parts of 4 bytes, as `tools/interop_peers/pubsub17/parts.go` does: metadata is
one byte with a bit for each part that its sender has; parts travel behind such a byte, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mesh.identity.peer_id import PeerId
from mesh.services.gossip import Part, PartReceived, PartsWanted, Topic

PART_BYTES = 4


@dataclass
class Known:
    """Of a peer: the parts it has, and those it was told of, as bits."""

    has: int = 0
    told: int = 0


class Pieces:
    """What is there of each group, and its exchange with others."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.held: dict[bytes, dict[int, bytes]] = {}
        self.events: list[PartReceived[PeerId] | PartsWanted[PeerId]] = []

    def put(self, topic: Topic, group: bytes, parts: dict[int, bytes]) -> int:
        """Have these parts and publish them; how many peers were sent something."""
        self.topics[topic.name] = topic
        self.held.setdefault(group, {}).update(parts)
        return topic.publish_parts(group, lambda states, wants: self._choose(group, states, wants))

    def received(self, event: PartReceived[PeerId], states: dict[PeerId, Any]) -> None:
        self.events.append(event)
        own = self.held.setdefault(event.group, {})
        state = states[event.peer] = states.get(event.peer) or Known()
        if event.part.metadata:
            state.has |= event.part.metadata[0]
        if event.part.message:
            which, rest = event.part.message[0], event.part.message[1:]
            for number in _numbers(which):
                own[number], rest = rest[:PART_BYTES], rest[PART_BYTES:]
            state.has |= which
        self._publish(event.topic, event.group)

    def wanted(self, event: PartsWanted[PeerId], states: dict[PeerId, Any]) -> None:
        self.events.append(event)
        self._publish(event.topic, event.group)

    def _publish(self, topic: str, group: bytes) -> None:
        self.topics[topic].publish_parts(group, lambda states, wants: self._choose(group, states, wants))

    def _choose(
        self, group: bytes, states: dict[PeerId, Any], wants: Callable[[PeerId], bool]
    ) -> Iterable[tuple[PeerId, Part]]:
        own = self.held[group]
        bits = sum(1 << number for number in own)
        for peer in states:
            state = states[peer] = states[peer] or Known()
            lacks = bits & ~state.has if wants(peer) else 0
            message = bytes([lacks]) + b"".join(own[each] for each in _numbers(lacks)) if lacks else b""
            metadata = bytes([bits]) if state.told != bits else b""
            state.has |= lacks
            state.told = bits
            yield peer, Part(message, metadata)


def _numbers(bits: int) -> list[int]:
    return [number for number in range(8) if bits >> number & 1]
