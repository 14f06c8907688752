"""Publishing and reading as plain objects: for the routes, and for verbs that do it with a node of their own.

Callers that read the same topic share one subscription of the node: the first one joins it, the last one leaves it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mesh.errors import LimitError, UsageError

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.services.gossip import Message, Subscription, Topic

MAX_READERS: Final = 32
BUFFER_MESSAGES: Final = 1024
BUFFER_BYTES: Final = 4 * 1024 * 1024
"""What a reader that is too slow may lag behind; then the oldest go and are counted."""
HEARTBEAT_S: Final = 15.0

Answer = dict[str, Any]


class Exchange:
    """What goes out of a node's topics and into them. Everything raises `UsageError` while pubsub is off.

    Methods that give an iterator check at once what can be, so that a wrong request is refused before the first object.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._shared: dict[str, _Shared] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._readers = 0

    async def publish(self, topic: str, data: str) -> Answer:
        """Send a message, given in base64, in a topic, joined or not; ``peers`` counts those it was sent to."""
        pubsub = self._node.pubsub
        check_topic(topic)
        message = decoded(data)
        count = await pubsub.publish(topic, message)
        return {"topic": topic, "peers": count, "size": len(message)}

    def publish_many(self, topic: str, messages: Sequence[str]) -> AsyncGenerator[Answer, None]:
        """Send messages in their order, with an object for each that was sent; the first that cannot be ends it."""
        self._node.pubsub.counts()
        check_topic(topic)
        return self._published(topic, [decoded(each) for each in messages])

    def subscribe(self, topic: str, own: bool = True) -> AsyncGenerator[Answer, None]:
        """Messages of a topic from now on. ``own`` ones come too if wanted.

        The first object is of type `subscribed`. One of type `lost` counts what its reader was too slow for, and stands
        where that is missing; one of type `idle` comes when nothing else did for a while.
        """
        self._check(topic)
        return self._messages(topic, own)

    def readers(self, topic: str) -> int:
        """How many read a topic here."""
        shared = self._shared.get(topic)
        return 0 if shared is None else shared.readers

    # -- within ------------------------------------------------------------------------------------------------------

    async def _published(self, topic: str, messages: Sequence[bytes]) -> AsyncGenerator[Answer, None]:
        for each in messages:
            count = await self._node.pubsub.publish(topic, each)
            yield {"type": "published", "peers": count, "size": len(each)}

    async def _messages(self, topic: str, own: bool) -> AsyncGenerator[Answer, None]:
        from mesh.services.gossip import Overflow

        with (
            self._reading(topic) as joined,
            joined.subscribe(
                buffer=BUFFER_MESSAGES, buffer_bytes=BUFFER_BYTES, overflow=Overflow.DROP_OLDEST, own=own
            ) as subscription,
        ):
            yield {"type": "subscribed", "topic": topic}
            lost = 0
            while True:
                try:
                    message = await _next(subscription)
                except StopAsyncIteration:
                    return
                if subscription.dropped > lost:
                    yield {"type": "lost", "messages": subscription.dropped - lost}
                    lost = subscription.dropped
                yield {"type": "idle"} if message is None else _told(message)

    def _check(self, topic: str) -> None:
        pubsub = self._node.pubsub
        pubsub.counts()
        if self._readers >= MAX_READERS:
            raise LimitError("api", "readers of topics", MAX_READERS, "nothing; end another one")
        if topic not in self._shared and topic in pubsub.topics():
            raise UsageError(f"the program that runs this node has joined {topic!r}: only that reads it")
        check_topic(topic)

    @contextmanager
    def _reading(self, topic: str) -> Iterator[Topic]:
        self._check(topic)
        shared = self._shared.get(topic)
        if shared is None:
            shared = self._shared[topic] = _Shared(self._node.pubsub.join(topic))
        shared.readers += 1
        self._readers += 1
        try:
            yield shared.topic
        finally:
            shared.readers -= 1
            self._readers -= 1
            if not shared.readers:
                leaving = asyncio.create_task(self._leave(topic, shared), name="pubsub leave")
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, topic: str, shared: _Shared) -> None:
        """Leave a topic unless somebody reads it again; who comes from now on joins it anew."""
        if not shared.readers and self._shared.get(topic) is shared:
            del self._shared[topic]
            await shared.topic.leave()


class _Shared:
    """A topic that was joined for readers."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.readers = 0


def check_topic(topic: str) -> None:
    """Raises `UsageError` for what cannot be a topic."""
    from mesh.protocols.gossip.router import MAX_TOPIC_BYTES

    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the topic {topic!r} is not UTF-8") from None
    if not 0 < size <= MAX_TOPIC_BYTES:
        raise UsageError(f"a topic has 1 to {MAX_TOPIC_BYTES} bytes, not {size}")


def decoded(data: str) -> bytes:
    """Raises `UsageError` for what is not base64."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the message is not base64") from None


async def _next(subscription: Subscription) -> Message | None:
    """The next message; None when none came in time. Raises `StopAsyncIteration` at the end."""
    if len(subscription):
        return await anext(subscription)
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            return await anext(subscription)
    except TimeoutError:
        return None


def _told(message: Message) -> Answer:
    author, seqno = message.author, message.seqno
    return {
        "type": "message",
        "topic": message.topic,
        "from": None if author is None else str(author),
        "received_from": str(message.received_from),
        "seqno": None if seqno is None else seqno.hex(),
        "id": message.id.hex(),
        "size": len(message.data),
        "data": base64.b64encode(message.data).decode(),
    }
