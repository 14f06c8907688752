"""Extensions of GossipSub 1.3 on a live node: messages in parts, which the program cuts and puts together; and the test
extension. Both are off, as in go-libp2p-pubsub, until a program brings what they need (`Pubsub.set_extensions`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mesh.codecs.gossip import Extensions
from mesh.identity.peer_id import PeerId
from mesh.network.scope import supervised
from mesh.protocols.gossip import PartReceived, PartsWanted, Router, TestExtended


class PartialMessages(Protocol):
    """What a program does about parts. ``states`` is what it notes of each peer of the group, None at first, to be
    changed freely. Both are called within a turn of the loop and wait for nothing; what they raise goes no further.
    """

    def received(self, event: PartReceived[PeerId], states: dict[PeerId, Any]) -> None:
        """A peer sent parts or metadata of a group."""

    def wanted(self, event: PartsWanted[PeerId], states: dict[PeerId, Any]) -> None:
        """Peers outside the mesh know nothing of a group: `Topic.publish_parts` tells them."""


@dataclass(frozen=True, slots=True)
class Extending:
    """What this node has beyond GossipSub 1.2. ``tested`` is told of each peer that sends the test extension's RPC."""

    parts: PartialMessages | None = None
    tested: Callable[[PeerId], None] | None = None

    @property
    def announced(self) -> Extensions | None:
        """What peers are told; None for nothing."""
        if self.parts is None and self.tested is None:
            return None
        return Extensions(
            partial_messages=True if self.parts is not None else None,
            test_extension=True if self.tested is not None else None,
        )

    def tell(
        self,
        router: Router[PeerId],
        event: PartReceived[PeerId] | PartsWanted[PeerId] | TestExtended[PeerId],
    ) -> None:
        """Hand an event to the program."""
        if isinstance(event, TestExtended):
            if self.tested is not None:
                supervised(self.tested, event.peer, "test extension")
            return
        parts, states = self.parts, router.partials.states(event.topic, event.group)
        if parts is None or states is None:
            return
        if isinstance(event, PartReceived):
            supervised(lambda each: parts.received(each, states), event, "partial messages")
        else:
            supervised(lambda each: parts.wanted(each, states), event, "partial messages")
