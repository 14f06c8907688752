"""The topics of the agent network by name, who may say what in them, and a relay that only passes it on.

Pubsub has checked each message's signature by its author. What is forged, in another's name, or no announcement or status
at all is neither read nor passed on. It is not held against whoever brought it, since stock daemons pass on everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mesh.errors import DecodeError, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import Verdict
from mesh.protocols.openclaw.announcement import (
    ANNOUNCE_TOPIC,
    README_ANNOUNCE_TOPIC,
    README_STATUS_TOPIC,
    STATUS_TOPIC,
    read_announcement,
    read_status,
)
from mesh.protocols.openclaw.listing import README_DIRECTORY_TOPIC, read_listing
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.services.gossip import Pubsub
    from mesh.services.gossip.subscription import Message
    from mesh.services.gossip.topic import Topic

READERS: Final[Mapping[str, Callable[[bytes, PeerId | None], Any]]] = {
    ANNOUNCE_TOPIC: read_announcement,
    README_ANNOUNCE_TOPIC: read_announcement,
    STATUS_TOPIC: read_status,
    README_STATUS_TOPIC: read_status,
    README_DIRECTORY_TOPIC: read_listing,
}
ANNOUNCE_TOPICS: Final = {"code": ANNOUNCE_TOPIC, "readme": README_ANNOUNCE_TOPIC}
STATUS_TOPICS: Final = {"code": STATUS_TOPIC, "readme": README_STATUS_TOPIC}
DIRECTORY_TOPICS: Final = {"readme": README_DIRECTORY_TOPIC}
"""The topics by the names of `agent.topics`. The stock daemon's code has none for directories."""


def validator_of(topic: str, counters: Counters) -> Callable[[Message], Verdict]:
    """Judges the messages of a topic; what is turned down is counted."""
    read = READERS[topic]

    def judge(message: Message) -> Verdict:
        try:
            read(message.data, message.author)
        except PeerError:
            counters.count("agent.topic:forged")
            return Verdict.IGNORE
        except DecodeError:
            counters.count("agent.topic:malformed")
            return Verdict.IGNORE
        return Verdict.ACCEPT

    return judge


def join(pubsub: Pubsub, topic: str, counters: Counters) -> Topic:
    """Be in a topic of the agent network. Raises `UsageError`."""
    return pubsub.join(topic, validator_of(topic, counters))


class TopicRelay:
    """Passes on what is said in the agent topics without reading it: for a relay, whose clients pubsub cannot join to
    each other over circuits that it limits."""

    def __init__(self, pubsub: Pubsub, counters: Counters, names: Sequence[str] = ("code", "readme")) -> None:
        self._pubsub = pubsub
        self._counters = counters
        self._names = names
        self._topics: list[Topic] = []

    def start(self) -> None:
        """Join the topics that nobody else on this node has joined. Raises `UsageError`."""
        for name in self._names:
            named = (ANNOUNCE_TOPICS[name], STATUS_TOPICS[name], DIRECTORY_TOPICS.get(name))
            for topic in filter(None, named):
                if topic not in self._pubsub.topics():
                    self._topics.append(join(self._pubsub, topic, self._counters))

    async def stop(self) -> None:
        """Leave them."""
        for topic in self._topics:
            await topic.leave()
        self._topics.clear()
