"""relay/1: the target as a relay."""

from __future__ import annotations

import asyncio
import time

from mesh.codecs.relay import HopMessage, HopType, Peer, Status, StopMessage, StopType
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.circuits import (
    HOP,
    REFUSALS,
    RESERVE,
    STOP,
    ask_hop,
    hop_answer,
    hop_connect,
    id_of,
    relayed,
    reserved,
)
from mesh.conformance.protobuf_fields import NOT_PROTOBUF
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.relay.vouchers import check_voucher

SECTION = Section("relay/1", "Hop", "circuit-v2", needs=(HOP,), lane="relay", hurts=True)
STATUS_S = 5.0
TRANSFER_BYTES = 10_000
PIECE_BYTES = 16 * 1024
MAX_SENT_BYTES = 2 * 2**20
GARBAGE = b"\x05hello"


@SECTION.must(
    1,
    "RESERVE",
    "STATUS 100 with reservation and optional limit, or 200/202",
    limit_s=10,
    source="circuit-v2: reservation",
)
async def reserve(attempt: Attempt) -> str:
    session = await attempt.session()
    _, answer = await ask_hop(session, RESERVE)
    if answer.status in REFUSALS:
        return f"refused with {answer.status}"
    if answer.status != Status.OK or answer.reservation is None:
        raise Deviation(f"status {answer.status}, reservation {answer.reservation}")
    limit = answer.limit
    return f"limit {limit.duration} s, {limit.data} bytes" if limit is not None else "no limit"


@SECTION.must(2, "Check expire", "in the future", limit_s=10)
async def expiry(attempt: Attempt) -> str:
    reservation = await reserved(await attempt.session())
    left_s = (reservation.expire or 0) - time.time()
    if left_s <= 0:
        raise Deviation(f"the reservation expires at {reservation.expire}, {-left_s:.0f} s ago")
    return f"in {left_s:.0f} s"


@SECTION.should(
    3,
    "Check voucher if any",
    "envelope good, relay and peer ids right, expiry equal",
    limit_s=10,
    source="circuit-v2: vouchers",
)
async def voucher(attempt: Attempt) -> str:
    reservation = await reserved(await attempt.session())
    if not reservation.voucher:
        return "none given"
    us = PeerId(id_of(attempt.identity))
    try:
        check_voucher(reservation.voucher, attempt.target.peer, us, reservation.expire or 0)
    except DecodeError as error:
        raise Deviation(f"the voucher does not hold: {error}") from None
    return "good"


@SECTION.must(4, "Check addrs", "parse, end in the relay's id, no circuit part", limit_s=10)
async def addresses(attempt: Attempt) -> str:
    reservation = await reserved(await attempt.session())
    for each in reservation.addrs:
        try:
            address = Multiaddr.from_bytes(each)
        except DecodeError as error:
            raise Deviation(f"an address cannot be read: {error}") from None
        if address.peer_id_bytes() != attempt.target.peer.to_bytes():
            raise Deviation(f"{address} does not end in the relay's id")
        if "/p2p-circuit" in str(address):
            raise Deviation(f"{address} has a circuit part")
    return f"{len(reservation.addrs)} addresses"


@SECTION.should(5, "RESERVE twice", "second is a refresh", limit_s=10)
async def refresh(attempt: Attempt) -> None:
    session = await attempt.session()
    first = await reserved(session)
    second = await reserved(session)
    if (second.expire or 0) < (first.expire or 0):
        raise Deviation("the second reservation expires before the first")


async def _status(attempt: Attempt, request: HopMessage | bytes, *allowed: Status) -> str:
    _, answer = await ask_hop(await attempt.session(), request)
    if answer.status not in allowed:
        raise Deviation(f"status {answer.status}")
    return f"status {answer.status}"


@SECTION.must(6, "CONNECT to a peer without reservation", "204", limit_s=10)
async def no_reservation(attempt: Attempt) -> None:
    peer = id_of(attempt.fresh_identity())
    await _status(attempt, hop_connect(peer), Status.NO_RESERVATION)


@SECTION.should(7, "CONNECT without peer", "400", limit_s=STATUS_S, source="circuit-v2: status")
async def no_peer(attempt: Attempt) -> None:
    await _status(attempt, HopMessage(HopType.CONNECT), Status.MALFORMED_MESSAGE)


@SECTION.should(8, "CONNECT with bad peer id", "400", limit_s=STATUS_S)
async def bad_peer(attempt: Attempt) -> None:
    await _status(attempt, HopMessage(HopType.CONNECT, Peer(b"no id")), Status.MALFORMED_MESSAGE)


@SECTION.should(9, "STATUS as request", "400 or 401", limit_s=STATUS_S)
async def status(attempt: Attempt) -> str:
    request = HopMessage(HopType.STATUS, status=Status.OK)
    return await _status(attempt, request, Status.MALFORMED_MESSAGE, Status.UNEXPECTED_MESSAGE)


@SECTION.should(10, "Message without type", "400", limit_s=STATUS_S)
async def no_type(attempt: Attempt) -> None:
    await _status(attempt, HopMessage().encode(), Status.MALFORMED_MESSAGE)


async def _malformed(attempt: Attempt, sent: bytes) -> str:
    """400 or an end; the session lives."""
    session = await attempt.session()
    stream = await session.open(HOP)
    stream.send(sent)
    try:
        answer = await hop_answer(stream)
    except Deviation:
        if stream.ending is None:
            raise
        await session.alive()
        return stream.ending
    if answer.status != Status.MALFORMED_MESSAGE:
        raise Deviation(f"status {answer.status}")
    await session.alive()
    return "status 400"


@SECTION.should(11, "Undecodable", "400 or reset", limit_s=STATUS_S)
async def undecodable(attempt: Attempt) -> str:
    return await _malformed(attempt, delimited.encode(NOT_PROTOBUF))


@SECTION.should(12, "Length 4097", "400 or reset", limit_s=STATUS_S, source="implementation")
async def too_long(attempt: Attempt) -> str:
    return await _malformed(attempt, varint.encode(4097))


@SECTION.should(13, "Silence after opening", "ended", limit_s=70, slow=True, source="implementation")
async def silence(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = await session.open(HOP)
    return await stream.ended("end of the stream")


@SECTION.should(14, "RESERVE over a relayed connection", "refused", limit_s=15, source="circuit-v2: note")
async def over_a_circuit(attempt: Attempt) -> str:
    session = await relayed(attempt)
    try:
        _, answer = await ask_hop(session, RESERVE)
    except Deviation:
        return "no answer"
    if answer.status == Status.OK:
        raise Deviation("a reservation was granted over a relayed connection")
    return f"status {answer.status}"


class Reached:
    """A peer of ours with a reservation; ``stream`` is the circuit that came to it."""

    def __init__(self, attempt: Attempt, answer: bytes | None) -> None:
        self.identity = attempt.fresh_identity()
        self.stream: Stream | None = None
        self.session: Session
        self._answer = answer

    async def serve(self, stream: Stream) -> None:
        request = StopMessage.decode(await stream.message(4096, "stop message"))
        if request.type is not StopType.CONNECT:
            raise Deviation(f"the relay sent a stop message of type {request.type}")
        if self._answer is not None:
            stream.send(self._answer)
        self.stream = stream


ACCEPT = delimited.encode(StopMessage(StopType.STATUS, status=Status.OK).encode())
REFUSE = delimited.encode(StopMessage(StopType.STATUS, status=Status.CONNECTION_FAILED).encode())


async def reached(attempt: Attempt, answer: bytes | None = ACCEPT) -> Reached:
    """A peer with a reservation that gives ``answer`` to circuits."""
    peer = Reached(attempt, answer)
    attempt.serves[STOP] = peer.serve
    peer.session = await attempt.session(identity=peer.identity)
    await reserved(peer.session)
    del attempt.serves[STOP]
    return peer


async def circuit(attempt: Attempt) -> tuple[Stream, Stream]:
    """Both ends of a circuit through the target: the source's and the destination's."""
    peer = await reached(attempt)
    source = await attempt.session()
    near, answer = await ask_hop(source, hop_connect(id_of(peer.identity)))
    if answer.status != Status.OK:
        raise Deviation(f"CONNECT to a peer with a reservation: status {answer.status}")
    if peer.stream is None:
        raise Deviation("the relay says OK without having asked the destination")
    return near, peer.stream


@SECTION.must(
    15,
    "Full circuit between two harness peers",
    "bytes pass both ways, half close works",
    limit_s=15,
)
async def whole(attempt: Attempt) -> None:
    near, far = await circuit(attempt)
    there, back = attempt.rng.randbytes(TRANSFER_BYTES), attempt.rng.randbytes(TRANSFER_BYTES)
    near.send(there)
    if await far.exactly(TRANSFER_BYTES, "bytes of the source") != there:
        raise Deviation("what the source sent arrived altered")
    near.finish()
    await far.ended_silently("end of the source's side")
    far.send(back)
    if await near.exactly(TRANSFER_BYTES, "bytes of the destination, after the half close") != back:
        raise Deviation("what the destination sent arrived altered")
    far.finish()
    await near.ended_silently("end of the destination's side")


@SECTION.should(
    16,
    "More bytes than the limit",
    "circuit ended",
    limit_s=30,
    source="circuit-v2: limit",
    harmful=True,
)
async def too_much(attempt: Attempt) -> str:
    near, far = await circuit(attempt)
    sent = 0
    while sent < MAX_SENT_BYTES and near.ending is None and far.ending is None:
        try:
            await near.write(bytes(PIECE_BYTES))
        except Deviation:
            break
        sent += PIECE_BYTES
        await asyncio.sleep(0)
    if near.ending is None and far.ending is None:
        try:
            await far.ended("end of the circuit", within_s=STATUS_S)
        except Deviation:
            raise Skipped(f"no limit within {sent} bytes") from None
    return f"ended behind {far.total_bytes} bytes"


@SECTION.should(
    17,
    "Longer than the limit",
    "circuit ended",
    limit_s=150,
    source="circuit-v2: limit",
    slow=True,
)
async def too_long_lived(attempt: Attempt) -> str:
    near, far = await circuit(attempt)
    await far.ended("end of the circuit")
    return f"{near.state}, {far.state}"


@SECTION.should(18, "Target of the circuit answers 203 or garbage", "source gets 203", limit_s=15)
async def failed(attempt: Attempt) -> None:
    for reply in (REFUSE, GARBAGE):
        peer = await reached(attempt, reply)
        _, answer = await ask_hop(await attempt.session(), hop_connect(id_of(peer.identity)))
        if answer.status != Status.CONNECTION_FAILED:
            raise Deviation(f"status {answer.status} after the destination answered {reply!r}")


@SECTION.should(
    19,
    "Source gone while connecting",
    "no leak; next works",
    limit_s=15,
    source="robustness",
)
async def source_gone(attempt: Attempt) -> None:
    peer = await reached(attempt, None)
    source = await attempt.session()
    stream = await source.open(HOP)
    stream.send(delimited.encode(hop_connect(id_of(peer.identity)).encode()))
    await peer.session.until(lambda: peer.stream, "stop message at the destination")
    stream.reset()
    await peer.session.alive()
    near, far = await circuit(attempt)
    near.send(b"next")
    await far.exactly(4, "bytes of the next circuit")
