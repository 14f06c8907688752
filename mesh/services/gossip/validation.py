"""What a program's validators say of messages: at once, or in a task of their own."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from mesh.codecs.gossip import Message as WireMessage
from mesh.network.scope import Scope, supervised
from mesh.protocols.gossip import MessageIdFunction, Verdict
from mesh.services.gossip.subscription import Message
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

MAX_PENDING: Final = 8192
MAX_PENDING_OF_TOPIC: Final = 1024
MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
"""Messages that wait for what a validator says, in all and of one topic, and their bytes; further ones are ignored."""

Validator = Callable[[Message], Verdict | Awaitable[Verdict]]
"""Judges a message: a function, or a coroutine function, which is given a task for each message."""
OnVerdict = Callable[[Verdict], None]


class Validation:
    """Asks validators, and survives them. What crashes, or gives no verdict, counts as `Verdict.IGNORE`: nobody else is
    at fault. ``scope`` owns their tasks."""

    __slots__ = ("_bytes", "_counters", "_pending", "_scope", "_total")

    def __init__(self, scope: Scope, counters: Counters) -> None:
        self._scope = scope
        self._counters = counters
        self._pending: Counter[str] = Counter()
        self._total = 0
        self._bytes = 0

    def ask(self, validator: Validator, message: Message, tell: OnVerdict) -> Verdict | None:
        """The verdict, if it is there at once; else None, and ``tell`` is called with it later."""
        if (
            self._total >= MAX_PENDING
            or self._bytes >= MAX_PENDING_BYTES
            or self._pending.get(message.topic, 0) >= MAX_PENDING_OF_TOPIC
        ):
            self._counters.count("gossip.validation:throttled")
            return Verdict.IGNORE
        verdict = supervised(validator, message, "gossip validator")
        if isinstance(verdict, Verdict):
            return verdict
        if not inspect.isawaitable(verdict):
            return self._crashed(message, verdict)
        self._total += 1
        self._bytes += len(message.data)
        self._pending[message.topic] += 1
        self._scope.spawn(
            self._wait(message, verdict, tell),
            "gossip validator",
            on_error=lambda error: tell(self._crashed(message, error)),
            on_crash=lambda error: tell(self._crashed(message, error)),
        )
        return None

    async def ask_now(self, validator: Validator, message: Message) -> Verdict:
        """The verdict on an own message, waited for. What the validator raises goes to the caller."""
        verdict = validator(message)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        return verdict if isinstance(verdict, Verdict) else self._crashed(message, verdict)

    async def _wait(self, message: Message, verdict: Awaitable[Verdict], tell: OnVerdict) -> None:
        try:
            found = await verdict
        finally:
            self._total -= 1
            self._bytes -= len(message.data)
            self._pending[message.topic] -= 1
            if not self._pending[message.topic]:
                del self._pending[message.topic]
        tell(found if isinstance(found, Verdict) else self._crashed(message, found))

    def _crashed(self, message: Message, instead: object) -> Verdict:
        """What came ``instead`` of a verdict."""
        self._counters.count("gossip.validation:crashed")
        log.debug("the validator of %r: %r instead of a verdict", message.topic, instead)
        return Verdict.IGNORE


def guarded(function: MessageIdFunction, counters: Counters) -> MessageIdFunction:
    """A program's message-id function that gives no id, so that the message is dropped, where that one raises."""

    def id_of(message: WireMessage) -> bytes:
        id = supervised(function, message, "gossip message id")
        if isinstance(id, bytes):
            return id
        counters.count("gossip.message_id:crashed")
        return b""

    return id_of
