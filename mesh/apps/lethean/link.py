"""A connection after its handshake: sealed messages in order, one handled at a time, pinged and given up by the clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from mesh.apps.lethean.carrier import MAX_MESSAGE_BYTES, Carrier
from mesh.apps.lethean.instant import message_id, nonce, stamp, unix_ms
from mesh.errors import Closed, LimitError, TimedOut
from mesh.protocols.lethean.compat import Strictness
from mesh.protocols.lethean.dedup import SeenMessages
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Accepted
from mesh.protocols.lethean.intake import Intake
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.keepalive import Due, Keepalive
from mesh.protocols.lethean.messages import Disconnect, Ping
from mesh.protocols.lethean.rate_limit import TokenBucket

log = logging.getLogger(__name__)

WRITE_S: Final = 10.0
END_S: Final = 2.0
LONG_BYTES: Final = 64 * 1024
"""Longer messages are sealed and opened beside the loop."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all links of a node share. ``handle`` is awaited with each message that is to be dealt with, ``proven`` called
    at the first one that decrypts, ``is_new`` asked whether a message came in an earlier life of the node."""

    own_id: str
    seen: SeenMessages
    strictness: Strictness
    executor: Executor
    ping_interval_s: float
    pong_timeout_s: float
    handle: Callable[[Link, Envelope], Awaitable[None]]
    proven: Callable[[Link], None]
    is_new: Callable[[Envelope], bool]


class Link:
    """One connection. ``peer`` is who it is with, ``dialled`` whether we dialled it."""

    __slots__ = (
        "_busy",
        "_carrier",
        "_keepalive",
        "_loop",
        "_prove_by",
        "_terms",
        "_timer",
        "dialled",
        "intake",
        "peer",
        "session",
    )

    def __init__(self, carrier: Carrier, accepted: Accepted, terms: Terms, *, dialled: bool) -> None:
        self._carrier = carrier
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.peer = accepted.identity
        self.session = accepted.session
        self.dialled = dialled
        self.intake = Intake(
            accepted.session,
            terms.own_id,
            terms.seen,
            TokenBucket(now),
            terms.strictness,
            proven=dialled or not terms.strictness.proof_first,
        )
        self._prove_by = now + terms.ping_interval_s + terms.pong_timeout_s
        self._keepalive = Keepalive(now, terms.ping_interval_s, terms.pong_timeout_s)
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """Where the peer's end is."""
        return self._carrier.peer_address

    @property
    def ended(self) -> bool:
        return self._carrier.ended

    async def run(self) -> None:
        """Deal with messages until the connection ends, then raise `Closed`."""
        self._arm()
        try:
            while True:
                await self._take(await self._carrier.receive())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._carrier.end()

    async def send(self, message: Envelope) -> None:
        """Seal and send. Raises `Closed`, `TimedOut` when the peer takes nothing, `LimitError` for one too long."""
        data = await self._seal(message)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._carrier.send(data)
        except TimeoutError:
            self._carrier.abort(f"took nothing for {WRITE_S:g} s")
            raise TimedOut(f"{self.peer.id}: took nothing for {WRITE_S:g} s") from None

    async def say(self, type: str, payload: JsonRecord | None, to: str | None = None) -> None:
        """Send a message that asks for no answer. Raises like `send`."""
        await self.send(self.message(type, payload, to))

    def message(self, type: str, payload: JsonRecord | None, to: str | None = None) -> Envelope:
        """A new message of ours to this peer."""
        return Envelope.of(
            payload,
            id=message_id(),
            type=type,
            sender=self._terms.own_id,
            receiver=self.peer.id if to is None else to,
            ts=stamp(),
        )

    async def reply(self, request: Envelope, type: str, payload: JsonRecord) -> None:
        """Answer a message. Raises like `send`."""
        await self.send(request.reply(payload, id=message_id(), type=type, ts=stamp()))

    async def leave(self, code: int, reason: str) -> None:
        """Say `disconnect` and end TCP."""
        try:
            async with asyncio.timeout(END_S):
                await self.say("disconnect", Disconnect(reason=reason, code=code))
        except (Closed, TimedOut, TimeoutError):
            self._carrier.abort(reason)
        self.end(reason)
        await self._carrier.wait_ended(END_S)

    def end(self, cause: str) -> None:
        """End TCP once what was sent has left."""
        self._carrier.end(cause)

    async def _seal(self, message: Envelope) -> bytes:
        at, seconds = nonce(), int(time.time())
        raw = message.raw or ""
        if len(raw) > MAX_MESSAGE_BYTES:
            raise LimitError("message", "bytes", MAX_MESSAGE_BYTES, "nothing; the mesh takes no longer ones")
        if len(raw) <= LONG_BYTES:
            data = self.session.seal(message, at, seconds)
        else:
            data = await self._loop.run_in_executor(
                self._terms.executor, self.session.seal, message, at, seconds
            )
        if len(data) > MAX_MESSAGE_BYTES:
            raise LimitError("message", "bytes", MAX_MESSAGE_BYTES, "nothing; the mesh takes no longer ones")
        return data

    async def _take(self, data: bytes) -> None:
        intake = self.intake
        now = self._loop.time()
        self._keepalive.note_message(now)
        if not intake.admit(now):
            return
        if len(data) <= LONG_BYTES:
            opened = intake.open(data)
        else:
            opened = await self._loop.run_in_executor(self._terms.executor, intake.open, data)
        if opened is None:
            return
        known = intake.proven
        message = intake.judge(opened, time.time())
        if intake.proven and not known:
            self._terms.proven(self)
        if message is None or not self._terms.is_new(message):
            return
        self._busy = True
        try:
            await self._terms.handle(self, message)
        finally:
            self._busy = False
            self._keepalive.note_message(self._loop.time())

    def _arm(self) -> None:
        at = self._keepalive.deadline()
        self._timer = self._loop.call_at(at if self.intake.proven else min(at, self._prove_by), self._wake)

    def _wake(self) -> None:
        now = self._loop.time()
        if self._busy:
            self._keepalive.note_message(now)
        due = self._keepalive.wake(now)
        unproven = not self.intake.proven and now >= self._prove_by
        if due is Due.CLOSE or unproven:
            self._timer = None
            self._carrier.end("its key was not proven in time" if unproven else "silent for too long")
            return
        if due is Due.PING:
            message = self.message("ping", Ping(sent_at_ms=unix_ms()))
            self._carrier.post(self.session.seal(message, nonce(), int(time.time())))
        self._arm()
