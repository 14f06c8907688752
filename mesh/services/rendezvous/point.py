"""A rendezvous point: keeps who registered, and tells those who ask."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from mesh.codecs.rendezvous import (
    Discover,
    DiscoverResponse,
    Message,
    MessageType,
    Register,
    RegisterResponse,
    Status,
)
from mesh.errors import EndOfStream, LimitError, Malformed, StorageError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.protocols.allowance import Allowance
from mesh.protocols.rendezvous import (
    Refusal,
    answer_limit,
    check_namespace,
    check_record,
    fitting,
    granted_ttl,
    make_cookie,
    read_cookie,
)
from mesh.storage.registration_store import RegistrationStore
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = 16_384
IDLE_S: Final = 30.0
REQUESTS_PER_S: Final = 10.0
REQUESTS_AT_ONCE: Final = 100.0
MAX_TRACKED: Final = 4096
SWEEP_S: Final = 600.0


class RendezvousPoint:
    """The service. One peer may ask ten times a second, a hundred times at once; beyond that it is told UNAVAILABLE."""

    def __init__(self, store: RegistrationStore, counters: Counters) -> None:
        self.store = store
        self._counters = counters
        self._allowances: dict[PeerId, Allowance] = {}

    async def run(self) -> None:
        """Remove what expires, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.store.sweep()
            except StorageError as error:
                log.warning("rendezvous: expired registrations stay for now: %s", error)

    async def serve(self, stream: Stream) -> None:
        """Answer requests until the peer ends its side. One that breaks the protocol has its stream reset."""
        peer = stream.connection.peer
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    request = Message.decode(await stream.read_message(MAX_REQUEST_BYTES))
            except (EndOfStream, TimeoutError):
                return
            answer = await self._answer(request, peer)
            if answer is not None:
                await self._send(stream, answer)

    async def _send(self, stream: Stream, answer: Message) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await stream.write_message(answer.encode())
        except TimeoutError:
            raise TimedOut(f"rendezvous: {stream.connection.peer} does not read its answer") from None

    async def _answer(self, request: Message, peer: PeerId) -> Message | None:
        if request.type == MessageType.REGISTER and request.register is not None:
            return await self._register(request.register, peer)
        if request.type == MessageType.DISCOVER:
            return self._discover(request.discover or Discover(), peer)
        if request.type == MessageType.UNREGISTER and request.unregister is not None:
            if self._admitted(peer):
                await self.store.remove(request.unregister.namespace or "", peer)
            return None
        raise Malformed("Message.type", None, "not a request")

    async def _register(self, asked: Register, peer: PeerId) -> Message:
        try:
            self._admit(peer)
            namespace = check_namespace(asked.namespace or "")
            ttl_s = granted_ttl(asked.ttl_s)
            check_record(asked.signed_peer_record, peer)
            assert asked.signed_peer_record is not None
            await self._keep(namespace, peer, asked.signed_peer_record, ttl_s)
        except Refusal as refusal:
            told = RegisterResponse(status=_counted(self._counters, refusal), status_text=str(refusal))
        else:
            self._counters.count("rendezvous.registered")
            told = RegisterResponse(status=Status.OK, ttl_s=ttl_s)
        return Message(type=MessageType.REGISTER_RESPONSE, register_response=told)

    async def _keep(self, namespace: str, peer: PeerId, envelope: bytes, ttl_s: int) -> None:
        try:
            await self.store.add(namespace, peer, envelope, ttl_s)
        except LimitError as error:
            status = Status.NOT_AUTHORIZED if error.scope == "peer" else Status.UNAVAILABLE
            raise Refusal(status, "too many registrations") from error
        except StorageError as error:
            log.warning("rendezvous: a registration could not be kept: %s", error)
            raise Refusal(Status.INTERNAL_ERROR, "the registration could not be kept") from error

    def _discover(self, asked: Discover, peer: PeerId) -> Message:
        try:
            self._admit(peer)
            namespace = check_namespace(asked.namespace or "", all_of_them=True)
            seq = read_cookie(asked.cookie, namespace, self.store.newest)
            found = fitting(self.store.after(namespace, seq), answer_limit(asked.limit))
        except Refusal as refusal:
            told = DiscoverResponse(status=_counted(self._counters, refusal), status_text=str(refusal))
        else:
            self._counters.count("rendezvous.discovered")
            now = time.time()
            told = DiscoverResponse(
                registrations=[
                    Register(
                        namespace=each.namespace,
                        signed_peer_record=each.envelope,
                        ttl_s=max(0, round(each.expires_at - now)),
                    )
                    for each in found
                ],
                cookie=make_cookie(found[-1].seq if found else seq, namespace),
                status=Status.OK,
            )
        return Message(type=MessageType.DISCOVER_RESPONSE, discover_response=told)

    def _admit(self, peer: PeerId) -> None:
        if not self._admitted(peer):
            raise Refusal(Status.UNAVAILABLE, "too many requests; ask again later")

    def _admitted(self, peer: PeerId) -> bool:
        now = time.monotonic()
        allowance = self._allowances.get(peer)
        if allowance is None:
            if len(self._allowances) >= MAX_TRACKED:
                self._allowances = {
                    each: kept for each, kept in self._allowances.items() if not kept.full(now)
                }
            if len(self._allowances) >= MAX_TRACKED:
                return False
            allowance = self._allowances[peer] = Allowance(REQUESTS_PER_S, REQUESTS_AT_ONCE)
        return allowance.take(now)


def _counted(counters: Counters, refusal: Refusal) -> Status:
    status = Status(refusal.wire_code or 0)
    counters.count(f"rendezvous.refused:{status.name.lower()}")
    return status
