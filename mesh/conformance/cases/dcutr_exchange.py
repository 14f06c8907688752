"""dcutr/1: the exchange before a hole punch. The harness is both the relay and the peer behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh.codecs.dcutr import MAX_MESSAGE_BYTES, HolePunch, PunchType
from mesh.codecs.multistream import encode_token as token
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.circuits import STOP, relayed
from mesh.conformance.doors import door, doors, tcp_address
from mesh.conformance.verdict import Deviation, Level, Skipped
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.multiformats import varint
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.multistream import NOT_AVAILABLE

SECTION = Section("dcutr/1", "Exchange", "DCUtR", lane="relay", hurts=True)
DCUTR = "/libp2p/dcutr"
ATTEMPTS = 3
THIRD_PARTIES = 64
MOST_DIALED = 32
DIAL_S = 5.0
CLOSED_PORT = 9


class Punched:
    """What the target opens on a relayed connection of ours: ``streams`` in order."""

    def __init__(self) -> None:
        self.session: Session
        self.streams: list[Stream] = []

    async def serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        stream.session.changed()

    async def stream(self, number: int = 1, within_s: float | None = None) -> Stream:
        """The attempt of that number. Raises `Deviation` when it does not come."""
        await self.session.until(
            lambda: len(self.streams) >= number or None, f"attempt {number}", within_s=within_s
        )
        return self.streams[number - 1]


async def punched(attempt: Attempt) -> Punched:
    """A relayed connection into the target, on which we speak DCUtR."""
    attempt.need(STOP, DCUTR)
    if not any(is_public(each) for each in attempt.target.listen_addrs):
        raise Skipped("the target tells of no public address, and has nothing to punch with")
    found = Punched()
    attempt.serves[DCUTR] = found.serve
    found.session = await relayed(attempt)
    return found


async def begun(attempt: Attempt) -> tuple[Punched, Stream, HolePunch]:
    """The target's first attempt and its CONNECT. Skips when it makes none."""
    found = await punched(attempt)
    try:
        stream = await found.stream()
    except Deviation:
        raise Skipped("the target begins no hole punch") from None
    return found, stream, await punch(stream, "CONNECT")


async def punch(stream: Stream, what: str) -> HolePunch:
    received = await stream.message(MAX_MESSAGE_BYTES, what)
    try:
        return HolePunch.decode(received)
    except DecodeError as error:
        raise Deviation(f"{what} cannot be read: {error}") from None


def answer(stream: Stream, kind: PunchType, addresses: Sequence[Multiaddr] = ()) -> None:
    message = HolePunch(kind, [each.to_bytes() for each in addresses])
    stream.send(delimited.encode(message.encode()))


@SECTION.should(1, "Open on a direct connection", "refused", limit_s=5)
async def direct(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start()
    stream.send(token("/multistream/1.0.0") + token(DCUTR))
    try:
        await stream.token("multistream header")
        if await stream.token("answer to a proposal") == NOT_AVAILABLE:
            return "na"
        answer(stream, PunchType.CONNECT, [tcp_address("192.0.2.1", CLOSED_PORT)])
        await stream.ended_silently("end of the stream")
    except Deviation:
        if stream.ending is None or stream.buffer:
            raise
    await session.alive()
    return stream.state


@SECTION.should(
    2,
    "Relayed connection into the target",
    "target opens dcutr to us with CONNECT",
    limit_s=20,
    source="DCUtR step 2",
)
async def opens(attempt: Attempt) -> None:
    found = await punched(attempt)
    message = await punch(await found.stream(), "CONNECT")
    if message.type is not PunchType.CONNECT:
        raise Deviation(f"the first message is {message.type.name}", Level.MUST)


@SECTION.must(3, "Its CONNECT", "at least one non-relay address", limit_s=20)
async def addresses(attempt: Attempt) -> str:
    _, _, message = await begun(attempt)
    try:
        found = [Multiaddr.from_bytes(each) for each in message.obs_addrs]
    except DecodeError as error:
        raise Deviation(f"an address of CONNECT cannot be read: {error}") from None
    if not any("/p2p-circuit" not in str(each) for each in found):
        raise Deviation(f"{len(found)} addresses, none without a relay")
    return f"{len(found)} addresses"


@SECTION.must(
    4,
    "Answer CONNECT, then wait",
    "SYNC comes about at once, dial half a round trip later",
    limit_s=20,
    source="DCUtR step 4",
)
async def whole(attempt: Attempt) -> None:
    _, stream, _ = await begun(attempt)
    async with door(attempt, attempt.local_host) as ours:
        answer(stream, PunchType.CONNECT, [ours.address])
        message = await punch(stream, "SYNC")
        if message.type is not PunchType.SYNC:
            raise Deviation(f"{message.type.name} came where SYNC is due")
        await ours.until(lambda: ours.knocks or None, "dial of the target", within_s=DIAL_S)


@SECTION.should(5, "Answer with SYNC instead", "stream reset", limit_s=10)
async def sync_first(attempt: Attempt) -> str:
    _, stream, _ = await begun(attempt)
    answer(stream, PunchType.SYNC)
    return await stream.ended_silently("end of the stream")


@SECTION.should(6, "Answer with empty list", "stream reset or retry", limit_s=10)
async def nothing_to_dial(attempt: Attempt) -> str:
    found, stream, _ = await begun(attempt)
    answer(stream, PunchType.CONNECT)
    try:
        return await stream.ended_silently("end of the stream")
    except Deviation:
        await found.stream(2, within_s=DIAL_S)
        return "retry"


@SECTION.should(7, "Message over 4096 bytes", "refused", limit_s=10, source="DCUtR: 4 KiB")
async def too_long(attempt: Attempt) -> str:
    _, stream, _ = await begun(attempt)
    stream.send(varint.encode(MAX_MESSAGE_BYTES + 1) + bytes(MAX_MESSAGE_BYTES + 1))
    return await stream.ended_silently("end of the stream")


@SECTION.should(8, "All dials fail", "three attempts in all", limit_s=60, slow=True, source="DCUtR step 6")
async def attempts(attempt: Attempt) -> str:
    found = await punched(attempt)
    closed = tcp_address(attempt.local_host, CLOSED_PORT)
    for number in range(1, ATTEMPTS + 1):
        stream = await found.stream(number)
        await punch(stream, f"CONNECT of attempt {number}")
        answer(stream, PunchType.CONNECT, [closed])
        await punch(stream, f"SYNC of attempt {number}")
    await asyncio.sleep(DIAL_S * 2)
    if len(found.streams) > ATTEMPTS:
        raise Deviation(f"{len(found.streams)} attempts")
    return f"{ATTEMPTS} attempts"


@SECTION.should(
    9,
    "Addresses of third parties in CONNECT",
    "bounded dialing",
    limit_s=30,
    source="robustness",
    harmful=True,
)
async def third_parties(attempt: Attempt) -> str:
    _, stream, _ = await begun(attempt)
    async with doors(attempt, attempt.local_host, THIRD_PARTIES) as all_doors:
        answer(stream, PunchType.CONNECT, [each.address for each in all_doors])
        try:
            await punch(stream, "SYNC")
        except Deviation:
            return f"refused: {stream.state}"
        await asyncio.sleep(DIAL_S)
        dialed = sum(bool(each.knocks) for each in all_doors)
    if dialed > MOST_DIALED:
        raise Deviation(f"{dialed} of {THIRD_PARTIES} addresses were dialed")
    return f"{dialed} of {THIRD_PARTIES} dialed"
