"""autonat/2: version 2, which dials one address and tells a nonce there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

from mesh.codecs.autonat import (
    MAX_DIAL_BACK_BYTES,
    MAX_V2_BYTES,
    DialBack,
    DialBackResponse,
    DialDataResponse,
    DialRequest,
    DialResponse,
    DialStatus,
    MessageV2,
    ResponseStatus,
)
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.doors import door, node_at, other_host, tcp_address
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_session import Stream
from mesh.errors import DecodeError, PeerError
from mesh.framing import delimited
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream as NodeStream

DIAL_REQUEST = "/libp2p/autonat/2/dial-request"
DIAL_BACK = "/libp2p/autonat/2/dial-back"
SECTION = Section("autonat/2", "Version 2", "autonat-v2", needs=(DIAL_REQUEST,), lane="autonat", hurts=True)
PRICES = range(30_000, 100_001)
PIECE_BYTES = 4000
QUIET_S = 5.0
REQUESTS = 20
SMALL_PIECES = 2000
PRIVATE = (tcp_address("10.0.0.1", 4001), tcp_address("192.168.0.1", 4001))


class Nonces:
    """What the target told on dial-back streams; ``answers`` says whether it hears OK for it."""

    def __init__(self, *, answers: bool = True) -> None:
        self.told: list[int] = []
        self._answers = answers

    async def serve(self, stream: NodeStream) -> None:
        try:
            self.told.append(DialBack.decode(await stream.read_message(MAX_DIAL_BACK_BYTES)).nonce)
        except DecodeError as error:
            raise PeerError(f"dial-back: {error}") from None
        if self._answers:
            await stream.write_message(DialBackResponse().encode())
        else:
            await stream.read(1)


async def message(stream: Stream, what: str, within_s: float | None = None) -> MessageV2:
    received = await stream.message(MAX_V2_BYTES, what, within_s)
    try:
        return MessageV2.decode(received)
    except DecodeError as error:
        raise Deviation(f"{what} cannot be read: {error}") from None


async def asked(attempt: Attempt, addresses: Sequence[Multiaddr], nonce: int = 0) -> Stream:
    """A dial request on a fresh session."""
    session = await attempt.session()
    stream = await session.open(DIAL_REQUEST)
    send_request(stream, addresses, nonce)
    return stream


def send_request(stream: Stream, addresses: Sequence[Multiaddr], nonce: int) -> None:
    request = DialRequest([each.to_bytes() for each in addresses], nonce)
    stream.send(delimited.encode(MessageV2(dial_request=request).encode()))


async def answer(stream: Stream, *, paying: bool = False) -> DialResponse:
    """The DialResponse, whatever it says; ``paying``: data that are asked for before it are sent. Raises `Deviation` for
    another message."""
    found = await message(stream, "DialResponse")
    if paying and found.dial_data_request is not None:
        pay_all(stream, min(found.dial_data_request.num_bytes, PRICES[-1]))
        found = await message(stream, "DialResponse")
    if found.dial_response is None:
        raise Deviation("another message came where DialResponse is due")
    stream.finish()
    return found.dial_response


def pay(stream: Stream, size: int) -> None:
    piece = MessageV2(dial_data_response=DialDataResponse(bytes(size)))
    stream.send(delimited.encode(piece.encode()))


def pay_all(stream: Stream, price: int) -> None:
    for start in range(0, price, PIECE_BYTES):
        pay(stream, min(PIECE_BYTES, price - start))


def nonce_of(attempt: Attempt) -> int:
    return attempt.rng.getrandbits(64)


async def _dialed_back(attempt: Attempt, before: Sequence[Multiaddr], nonces: Nonces) -> DialResponse:
    """The answer to a request of ``before`` and one address of ours, where a node is."""
    session = await attempt.session()
    nonce = nonce_of(attempt)
    async with node_at(attempt.local_host, attempt.identity, {DIAL_BACK: nonces.serve}) as address:
        stream = await session.open(DIAL_REQUEST)
        send_request(stream, [*before, address], nonce)
        found = await answer(stream, paying=True)
        if found.status == ResponseStatus.E_DIAL_REFUSED and ip_address(attempt.local_host).is_private:
            raise Skipped("the target dials no private address")
        if found.status != ResponseStatus.OK:
            raise Deviation(f"status {found.status}")
        if nonces.told != [nonce]:
            raise Deviation(f"{len(nonces.told)} dial-backs, none or not one with our nonce")
    return found


@SECTION.must(
    1,
    "DialRequest with one dialable address, same IP",
    "dial-back with our nonce, then DialResponse 200 and status",
    limit_s=20,
)
async def dialed_back(attempt: Attempt) -> None:
    found = await _dialed_back(attempt, (), Nonces())
    if found.dial_status != DialStatus.OK:
        raise Deviation(f"dial status {found.dial_status} though the nonce was told and answered")


async def priced(stream: Stream) -> int:
    """What the target asks for a dial to another host. Skips when it refuses."""
    found = await message(stream, "DialDataRequest")
    if found.dial_response is not None and found.dial_response.status != ResponseStatus.OK:
        raise Skipped(f"the target refuses the address: status {found.dial_response.status}")
    if found.dial_data_request is None:
        raise Deviation("no data were asked for before a dial to another host")
    if found.dial_data_request.num_bytes not in PRICES:
        raise Deviation(f"{found.dial_data_request.num_bytes} bytes are asked for")
    return found.dial_data_request.num_bytes


@SECTION.must(
    2,
    "Address with another IP",
    "DialDataRequest of 30000 to 100000 first",
    limit_s=20,
    source="autonat-v2: amplification",
)
async def other_ip(attempt: Attempt) -> str:
    session = await attempt.session()
    async with door(attempt, other_host(attempt.local_host)) as other:
        stream = await session.open(DIAL_REQUEST)
        send_request(stream, [other.address], nonce_of(attempt))
        price = await priced(stream)
        if other.knocks:
            raise Deviation("the target dialed before it was paid")
        pay_all(stream, price)
        await other.until(lambda: other.knocks or None, "dial of the target, which was paid")
    return f"{price} bytes"


@SECTION.must(3, "Refuse the data (reset)", "no dial", limit_s=20)
async def unpaid(attempt: Attempt) -> None:
    session = await attempt.session()
    async with door(attempt, other_host(attempt.local_host)) as other:
        stream = await session.open(DIAL_REQUEST)
        send_request(stream, [other.address], nonce_of(attempt))
        await priced(stream)
        stream.reset()
        await asyncio.sleep(QUIET_S)
        if other.knocks:
            raise Deviation("the target dialed though the data were refused")
    await session.alive()


@SECTION.should(4, "Data in 1-byte messages", "refused or accepted; no dial before the sum", limit_s=20)
async def small_pieces(attempt: Attempt) -> str:
    session = await attempt.session()
    async with door(attempt, other_host(attempt.local_host)) as other:
        stream = await session.open(DIAL_REQUEST)
        send_request(stream, [other.address], nonce_of(attempt))
        await priced(stream)
        for _ in range(SMALL_PIECES):
            if stream.ending is not None:
                break
            pay(stream, 1)
        await asyncio.sleep(QUIET_S)
        if other.knocks:
            raise Deviation(f"the target dialed for {SMALL_PIECES} bytes")
    return stream.state


async def _status(attempt: Attempt, addresses: Sequence[Multiaddr], wanted: ResponseStatus) -> None:
    found = await answer(await asked(attempt, addresses, nonce_of(attempt)))
    if found.status != wanted:
        raise Deviation(f"status {found.status}")


@SECTION.should(5, "Only private addresses", "status 101", limit_s=5)
async def private(attempt: Attempt) -> None:
    await _status(attempt, PRIVATE, ResponseStatus.E_DIAL_REFUSED)


@SECTION.should(6, "Empty list", "status 101", limit_s=5)
async def empty(attempt: Attempt) -> None:
    await _status(attempt, (), ResponseStatus.E_DIAL_REFUSED)


@SECTION.must(
    7,
    "First private, second public",
    "addrIdx 1",
    limit_s=20,
    source="autonat-v2: first willing",
)
async def second_address(attempt: Attempt) -> None:
    found = await _dialed_back(attempt, PRIVATE[:1], Nonces())
    if found.addr_idx != 1:
        raise Deviation(f"addrIdx {found.addr_idx}")


@SECTION.should(8, "Another message kind first", "reset", limit_s=5)
async def wrong_kind(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = await session.open(DIAL_REQUEST)
    pay(stream, PIECE_BYTES)
    ending = await stream.ended_silently("end of the stream")
    await session.alive()
    return ending


@SECTION.should(9, "20 requests in a minute", "status 100 in time", limit_s=60, harmful=True)
async def often(attempt: Attempt) -> str:
    session = await attempt.session()
    for number in range(1, REQUESTS + 1):
        stream = await session.open(DIAL_REQUEST)
        send_request(stream, (), nonce_of(attempt))
        if (await answer(stream)).status == ResponseStatus.E_REQUEST_REJECTED:
            return f"at request {number}"
    raise Deviation(f"{REQUESTS} requests were all taken")


@SECTION.must(
    10,
    "Dial-back to the target with an unknown nonce",
    "discarded",
    limit_s=5,
    source="autonat-v2: nonce",
)
async def unknown_nonce(attempt: Attempt) -> str:
    attempt.need(DIAL_BACK)
    session = await attempt.session()
    stream = await session.open(DIAL_BACK)
    stream.send(delimited.encode(DialBack(nonce_of(attempt)).encode()))
    try:
        await stream.message(MAX_DIAL_BACK_BYTES, "answer to an unknown nonce", QUIET_S / 2)
    except Deviation:
        await session.alive()
        return stream.state
    raise Deviation("a nonce that nobody gave out was answered")


@SECTION.should(11, "Dial-back never answered by us", "response still comes", limit_s=25, slow=True)
async def unanswered(attempt: Attempt) -> str:
    found = await _dialed_back(attempt, (), Nonces(answers=False))
    return f"dial status {found.dial_status}"
