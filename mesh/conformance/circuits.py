"""Requests to a relay, and the harness as a relay itself: a relayed connection into the target."""

from __future__ import annotations

import asyncio
import contextlib
import time

from mesh.codecs.relay import (
    MAX_MESSAGE_BYTES,
    HopMessage,
    HopType,
    Limit,
    Peer,
    Reservation,
    Status,
    StopMessage,
    StopType,
)
from mesh.conformance.attempt import Attempt, noise_channel
from mesh.conformance.noise_client import NoiseClient
from mesh.conformance.verdict import Deviation, Skipped, Unprepared
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
LIMIT = Limit(120, 128 * 1024)
LISTENER = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
"""Where the harness says that it is a relay: an address for documentation."""
RESERVATION_S = 3600
RESERVE_S = 3.0
PAUSE_S = 0.2
RETRIES = 3
REFUSALS = (Status.RESERVATION_REFUSED, Status.RESOURCE_LIMIT_EXCEEDED, Status.PERMISSION_DENIED)

RESERVE = HopMessage(HopType.RESERVE)


def id_of(identity: PrivateKey) -> bytes:
    return PeerId.from_public_key(identity.public).to_bytes()


def hop_connect(peer: bytes) -> HopMessage:
    return HopMessage(HopType.CONNECT, Peer(peer))


async def hop_answer(stream: Stream, what: str = "answer of the relay") -> HopMessage:
    """The next message of a relay. Raises `Deviation`."""
    received = await stream.message(MAX_MESSAGE_BYTES, what)
    try:
        return HopMessage.decode(received)
    except DecodeError as error:
        raise Deviation(f"{what} cannot be read: {error}") from None


async def ask_hop(session: Session, request: HopMessage | bytes) -> tuple[Stream, HopMessage]:
    """One request to the target as a relay, on a stream of its own, and its answer, a STATUS."""
    stream = await session.open(HOP)
    message = request if isinstance(request, bytes) else request.encode()
    stream.send(delimited.encode(message))
    answer = await hop_answer(stream)
    if answer.type is not HopType.STATUS:
        raise Deviation(f"the relay answered with type {answer.type}")
    return stream, answer


async def reserved(session: Session) -> Reservation:
    """A reservation. Raises `Skipped` when the target gives none."""
    _, answer = await ask_hop(session, RESERVE)
    if answer.status in REFUSALS:
        raise Skipped(f"the target gives no reservation: status {answer.status}")
    if answer.status != Status.OK:
        raise Deviation(f"RESERVE was answered with status {answer.status}")
    if answer.reservation is None:
        raise Deviation("a granted reservation is not described")
    return answer.reservation


async def stop_answer(stream: Stream) -> StopMessage:
    """What the target answers to a stop message."""
    received = await stream.message(MAX_MESSAGE_BYTES, "answer to the stop message")
    try:
        return StopMessage.decode(received)
    except DecodeError as error:
        raise Deviation(f"the answer to the stop message cannot be read: {error}") from None


class Relay:
    """The harness as a relay on one session: it grants every RESERVE, and brings circuits to the target."""

    def __init__(self, attempt: Attempt) -> None:
        self._us = attempt.identity
        self.granted = 0
        self.session: Session

    async def serve(self, stream: Stream) -> None:
        """Grant a reservation."""
        request = await hop_answer(stream, "request of a reservation")
        if request.type is not HopType.RESERVE:
            stream.reset()
            return
        where = LISTENER.to_bytes() + Multiaddr.parse(f"/p2p/{PeerId(id_of(self._us))}").to_bytes()
        reservation = Reservation(round(time.time()) + RESERVATION_S, [where])
        answer = HopMessage(HopType.STATUS, None, reservation, LIMIT, Status.OK)
        stream.send(delimited.encode(answer.encode()))
        stream.finish()
        self.granted += 1
        self.session.changed()

    async def circuit(self, source: bytes) -> tuple[Stream, StopMessage]:
        """A circuit from ``source`` into the target, and what it says to that; where it is refused, again after the
        target has reserved."""
        stream, answer = await self._offer(source)
        for _ in range(RETRIES):
            if answer.status == Status.OK:
                break
            with contextlib.suppress(Deviation):
                await self.session.until(lambda: self.granted or None, "RESERVE", within_s=RESERVE_S)
            if not self.granted:
                break
            await asyncio.sleep(PAUSE_S)
            stream, answer = await self._offer(source)
        return stream, answer

    async def _offer(self, source: bytes) -> tuple[Stream, StopMessage]:
        stream = await self.session.open(STOP)
        stream.send(delimited.encode(StopMessage(StopType.CONNECT, Peer(source), LIMIT).encode()))
        return stream, await stop_answer(stream)


async def relay_of(attempt: Attempt) -> Relay:
    """A session on which the harness says that it is a relay."""
    relay = Relay(attempt)
    attempt.serves[HOP] = relay.serve
    relay.session = await attempt.session()
    del attempt.serves[HOP]
    return relay


async def upgraded(attempt: Attempt, stream: Stream, identity: PrivateKey) -> Session:
    """Noise and yamux over a circuit, as ``identity``. Raises `Deviation` when the target does not go along."""
    client = NoiseClient(attempt.rng, identity, (YAMUX,))
    channel = await noise_channel(stream, client)
    return await attempt.muxed(channel, client.early_muxer(), identity)


async def relayed(attempt: Attempt, identity: PrivateKey | None = None) -> Session:
    """A session with the target over a circuit whose relay is the harness. Raises `Skipped`, `Unprepared`."""
    attempt.need(STOP)
    attempt.need_security("noise")
    inner = identity or attempt.fresh_identity()
    relay = await relay_of(attempt)
    try:
        stream, answer = await relay.circuit(id_of(inner))
        if answer.status != Status.OK:
            raise Skipped(f"the target takes no circuit: status {answer.status}")
        session = await upgraded(attempt, stream, inner)
        await session.alive()
    except Deviation as deviation:
        raise Unprepared(f"no relayed connection: {deviation.actual}") from None
    return session
