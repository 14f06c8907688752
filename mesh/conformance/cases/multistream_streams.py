"""multistream/4: the same negotiation at the beginning of a stream."""

from __future__ import annotations

from mesh.codecs.multistream import encode_token as token
from mesh.codecs.ping import PING_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.multistream_proposals import UNKNOWN
from mesh.conformance.verdict import Deviation, Skipped
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE

SECTION = Section("multistream/4", "On streams", "connections: new streams")
KADEMLIA = "/ipfs/kad/1.0.0"


@SECTION.must(1, "Stream: header and a known protocol", "both echoed", limit_s=2)
async def known(attempt: Attempt) -> None:
    session = await attempt.session()
    await session.open(services.IDENTIFY)


@SECTION.must(
    2,
    "Stream: header, protocol and application bytes at once",
    "application answer follows the echoes",
    limit_s=3,
    needs=(services.PING,),
    source="connections",
)
async def all_at_once(attempt: Attempt) -> None:
    session = await attempt.session()
    payload = attempt.rng.randbytes(PING_BYTES)
    stream = session.start()
    stream.send(token(HEADER) + token(services.PING) + payload)
    await stream.agreed(services.PING)
    if await stream.exactly(PING_BYTES, "echo of the ping") != payload:
        raise Deviation("the ping that followed the proposal came back altered")


@SECTION.must(
    3,
    "Stream: unknown protocol",
    "na, stream still usable for another name",
    limit_s=2,
    source="connections",
)
async def unknown(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.start()
    stream.send(token(HEADER) + token(UNKNOWN))
    if (header := await stream.token("multistream header")) != HEADER:
        raise Deviation(f"the stream's first token is {header[:64]!r}")
    if (answer := await stream.token("na")) != NOT_AVAILABLE:
        raise Deviation(f"the answer to an unknown name is {answer[:64]!r}")
    stream.send(token(services.IDENTIFY))
    if (answer := await stream.token("echo of another name")) != services.IDENTIFY:
        raise Deviation(f"the answer to a known name after `na` is {answer[:64]!r}")


@SECTION.should(
    4,
    "Stream: header then silence",
    "stream ends in reasonable time, connection lives",
    limit_s=20,
    slow=True,
    source="implementation",
)
async def silence(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start()
    stream.send(token(HEADER))
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.must(
    5,
    "Stream: opened, closed for writing with no byte",
    "stream ends, connection lives",
    limit_s=3,
    source="robustness",
    hurts=True,
)
async def closed_unused(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start()
    stream.finish()
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.must(
    6,
    "Stream: undecodable first token",
    "stream ends, connection lives",
    limit_s=3,
    source="robustness",
    hurts=True,
)
async def undecodable(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start()
    stream.send(b"\x05hello and more")
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.must(
    7,
    "Client protocol the node does not serve (kad in client mode)",
    "na",
    limit_s=2,
    source="kad-dht: client mode",
)
async def not_served(attempt: Attempt) -> None:
    if attempt.target.serves(KADEMLIA):
        raise Skipped("the target serves Kademlia")
    session = await attempt.session()
    stream = session.start()
    stream.send(token(HEADER) + token(KADEMLIA))
    await stream.token("multistream header")
    if (answer := await stream.token("na")) != NOT_AVAILABLE:
        raise Deviation(f"identify does not list {KADEMLIA}, and the answer to it is {answer[:64]!r}")
