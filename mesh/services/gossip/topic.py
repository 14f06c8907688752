"""A topic that this node has joined."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip.partial import Choose
from mesh.services.gossip.subscription import BUFFER_BYTES, BUFFER_MESSAGES, Message, Overflow, Subscription
from mesh.services.gossip.validation import Validator
from mesh.telemetry.counters import Counters


class Owner(Protocol):
    """The service, as a topic knows it."""

    counters: Counters

    async def publish(self, topic: str, data: bytes) -> int:
        """Send a message; returns how many peers took it."""

    def publish_parts(self, topic: str, group: bytes, choose: Choose[PeerId]) -> int:
        """Send parts and metadata of a message; returns how many peers took some."""

    async def leave(self, topic: str) -> None:
        """Be in the topic no more."""

    def peers(self, topic: str) -> list[PeerId]:
        """Connected peers in it."""

    def mesh(self, topic: str) -> list[PeerId]:
        """Those this node exchanges its messages with."""


class Topic:
    """What `Pubsub.join` gives. ``async with`` leaves it at the end."""

    def __init__(self, owner: Owner, name: str, validator: Validator | None) -> None:
        self.name = name
        self.validator = validator
        self.newcomers: list[Callable[[PeerId], None]] = []
        """Are told of each connected peer that comes into the topic."""
        self._owner = owner
        self._subscriptions: tuple[weakref.ref[Subscription], ...] = ()
        self._left = False

    def __repr__(self) -> str:
        return f"<Topic {self.name!r}{', left' if self._left else ''}>"

    @property
    def heard(self) -> bool:
        """Whether anybody reads."""
        return bool(self._subscriptions)

    def subscribe(
        self,
        *,
        buffer: int = BUFFER_MESSAGES,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow = Overflow.DROP_NEWEST,
        own: bool = False,
    ) -> Subscription:
        """Messages from now on, through a buffer of so many messages and bytes; ``overflow`` says what happens when it
        is full. ``own`` ones come too if wanted. Raises `UsageError` for a buffer that holds nothing."""
        subscription = Subscription(self.name, buffer, buffer_bytes, overflow, own)
        if self._left:
            subscription.close()
        else:
            self._subscriptions = (*self._subscriptions, weakref.ref(subscription, self._forget))
        return subscription

    async def publish(self, data: bytes) -> int:
        """Send a message; see `Pubsub.publish`. Raises `UsageError` when the topic has been left."""
        if self._left:
            raise UsageError(f"the topic {self.name!r} has been left")
        return await self._owner.publish(self.name, data)

    def publish_parts(self, group: bytes, choose: Choose[PeerId]) -> int:
        """Send a message in parts; see `Pubsub.publish_parts`. Raises `UsageError` when the topic has been left."""
        if self._left:
            raise UsageError(f"the topic {self.name!r} has been left")
        return self._owner.publish_parts(self.name, group, choose)

    def peers(self) -> list[PeerId]:
        """Connected peers that are in this topic."""
        return self._owner.peers(self.name)

    def mesh(self) -> list[PeerId]:
        """Those of them that this node exchanges its messages with."""
        return self._owner.mesh(self.name)

    async def leave(self) -> None:
        """Be in it no more; its subscriptions end. Nothing happens the second time."""
        if not self._left:
            await self._owner.leave(self.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.leave()

    # -- the service's side ------------------------------------------------------------------------------------------

    def deliver(self, messages: Sequence[Message], own: bool = False) -> None:
        """Hand accepted messages to all who read."""
        closed = False
        for reference in self._subscriptions:
            subscription = reference()
            if subscription is None or subscription.closed:
                closed = True
            elif (not own or subscription.own) and (lost := subscription.put_all(messages)):
                self._owner.counters.count("gossip.reader_slow", lost)
        if closed:
            self._subscriptions = tuple(each for each in self._subscriptions if _open(each))

    def greet(self, peer: PeerId) -> None:
        """A connected peer came into the topic."""
        for tell in self.newcomers:
            tell(peer)

    def end(self) -> None:
        """The node left it."""
        self._left = True
        for reference in self._subscriptions:
            subscription = reference()
            if subscription is not None:
                subscription.close()
        self._subscriptions = ()

    def _forget(self, reference: weakref.ref[Subscription]) -> None:
        self._subscriptions = tuple(each for each in self._subscriptions if each is not reference)


def _open(reference: weakref.ref[Subscription]) -> bool:
    subscription = reference()
    return subscription is not None and not subscription.closed
