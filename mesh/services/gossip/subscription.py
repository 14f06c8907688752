"""What a program reads: messages of a topic, through a buffer of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from types import TracebackType
from typing import Final, Self

from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId

BUFFER_MESSAGES: Final = 1024
BUFFER_BYTES: Final = 16 * 1024 * 1024
CACHED_AUTHORS: Final = 4096


class Overflow(Enum):
    """What happens to a message for whose reader the buffer is full. It is counted either way."""

    DROP_NEWEST = "drop-newest"
    """It is dropped."""
    DROP_OLDEST = "drop-oldest"
    """It takes the place of those that have waited longest."""


class Message:
    """A message of a topic. ``id`` is what the topic's message-id function made of it."""

    __slots__ = ("data", "id", "received_from", "sender", "seqno", "topic")

    def __init__(
        self,
        topic: str,
        data: bytes,
        sender: bytes | None,
        seqno: bytes | None,
        id: bytes,
        received_from: PeerId,
    ) -> None:
        self.topic = topic
        self.data = data
        self.sender = sender
        """The author's peer id as it stands in the message; under a policy without signatures, whatever was put there."""
        self.seqno = seqno
        """8 bytes, big-endian, with most implementations; nobody checks that."""
        self.id = id
        self.received_from = received_from
        """Who passed it on to this node; this node itself for its own messages."""

    @property
    def author(self) -> PeerId | None:
        """Who wrote it. None when it names nobody, or what is no peer id (possible without signatures)."""
        return None if self.sender is None else _author(self.sender)

    def __repr__(self) -> str:
        return f"<Message {self.id.hex()} in {self.topic!r}, {len(self.data)} bytes>"


@lru_cache(maxsize=CACHED_AUTHORS)
def _author(sender: bytes) -> PeerId | None:
    try:
        return PeerId.from_bytes(sender)
    except DecodeError:
        return None


class Subscription:
    """Messages of one topic, in the order in which they came: ``async for message in subscription``.

    It ends when the topic is left, after what is buffered. One task may read at a time. ``with subscription`` closes it;
    one that nobody holds any more closes itself.
    """

    __slots__ = (
        "__weakref__",
        "_bytes",
        "_held",
        "_max_bytes",
        "_max_messages",
        "_overflow",
        "_waiter",
        "closed",
        "dropped",
        "own",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        buffer: int = BUFFER_MESSAGES,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow = Overflow.DROP_NEWEST,
        own: bool = False,
    ) -> None:
        """Raises `UsageError` for a buffer that holds nothing."""
        if buffer < 1 or buffer_bytes < 1:
            raise UsageError(f"a buffer of {buffer} messages and {buffer_bytes} bytes holds nothing")
        self.topic = topic
        self.own = own
        self.dropped = 0
        """Messages that its reader was too slow for."""
        self.closed = False
        self._overflow = overflow
        self._max_messages = buffer
        self._max_bytes = buffer_bytes
        self._held: deque[Message] = deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def put(self, message: Message) -> bool:
        """Hand a message to the reader; False when that cost one, this or another. A message longer than the whole
        buffer is taken when nothing else waits."""
        held, size = self._held, len(message.data)
        whole = True
        if len(held) >= self._max_messages or (held and self._bytes + size > self._max_bytes):
            whole = False
            if self._overflow is Overflow.DROP_NEWEST:
                self.dropped += 1
                return False
            while len(held) >= self._max_messages or (held and self._bytes + size > self._max_bytes):
                self._bytes -= len(held.popleft().data)
                self.dropped += 1
        held.append(message)
        self._bytes += size
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return whole

    def put_all(self, messages: Sequence[Message]) -> int:
        """`put` of several; returns how many that cost."""
        held, size = self._held, sum(len(each.data) for each in messages)
        if len(held) + len(messages) > self._max_messages or self._bytes + size > self._max_bytes:
            return sum(not self.put(each) for each in messages)
        held += messages
        self._bytes += size
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    def close(self) -> None:
        """Take no more messages; what is buffered can still be read."""
        self.closed = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._held:
            if self.closed:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise UsageError(f"another task is reading this subscription of {self.topic!r}")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._held.popleft()
        self._bytes -= len(message.data)
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
