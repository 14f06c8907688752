"""identify/2: what we push to the target."""

from __future__ import annotations

from mesh.codecs.identify import Identify
from mesh.codecs.multistream import encode_token
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_session import Session
from mesh.framing import delimited
from mesh.protocols.multistream import HEADER

SECTION = Section("identify/2", "push", "identify/push", needs=(services.PUSH,))
IMPLEMENTATION = "implementation"
ROBUSTNESS = "robustness"
MANY = 100


def part(number: int) -> bytes:
    """A part that sets one field."""
    return delimited.encode(Identify(agent_version=f"{services.AGENT_VERSION}/{number}").encode())


async def pushed(attempt: Attempt, data: bytes) -> tuple[Session, str]:
    """Push and end our side; the session, and how the target ended the stream. The session must live."""
    session = await attempt.session()
    stream = await attempt.prepared(session.open(services.PUSH), "push stream")
    stream.send_last(data)
    ending = await stream.ended("end of the push stream")
    await session.alive()
    return session, ending


@SECTION.should(1, "Push with one field", "accepted, stream closed", limit_s=5)
async def one_field(attempt: Attempt) -> None:
    _, ending = await pushed(attempt, part(0))
    if ending != "end of stream":
        raise Deviation(f"the stream ended by {ending}")


@SECTION.may(2, "Push in 9 parts", "merged", limit_s=5, source=IMPLEMENTATION)
async def nine_parts(attempt: Attempt) -> str:
    return (await pushed(attempt, b"".join(map(part, range(9)))))[1]


@SECTION.may(3, "Push in 10 parts", "merged or reset", limit_s=5, source=IMPLEMENTATION)
async def ten_parts(attempt: Attempt) -> str:
    return (await pushed(attempt, b"".join(map(part, range(10)))))[1]


@SECTION.should(
    4,
    "Push of 9000 bytes",
    "reset or accepted; connection lives",
    limit_s=5,
    source=IMPLEMENTATION,
    hurts=True,
)
async def large(attempt: Attempt) -> str:
    field = b"\x32" + b"\xa5\x46" + b"x" * 8997
    return (await pushed(attempt, delimited.encode(field)))[1]


@SECTION.must(5, "Push, undecodable", "reset, connection lives", limit_s=5, source=ROBUSTNESS, hurts=True)
async def undecodable(attempt: Attempt) -> str:
    return (await pushed(attempt, delimited.encode(b"\x0a\xff\xff\xff\xff\x0f")))[1]


@SECTION.should(
    6, "Push, never closed", "stream ended by the target", limit_s=20, slow=True, source=ROBUSTNESS
)
async def never_closed(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = await session.open(services.PUSH)
    stream.send(part(0))
    ending = await stream.ended("end of the push stream")
    await session.alive()
    return ending


@SECTION.must(
    7,
    "Push then identify back",
    "state not corrupted (own answer unchanged)",
    limit_s=5,
    source=ROBUSTNESS,
)
async def unchanged(attempt: Attempt) -> None:
    session = await attempt.session()
    before = await attempt.identify(session)
    stream = await session.open(services.PUSH)
    wrong = services.identify_message(attempt.fresh_identity(), ("/mesh-conform/pushed/1.0.0",))
    stream.send(delimited.encode(wrong.encode()))
    stream.finish()
    await stream.ended("end of the push stream")
    after = await attempt.identify(session)
    if set(wrong.protocols) & set(after.protocols) - set(before.protocols):
        raise Deviation("a protocol that we pushed stands in its own answer")
    for name in ("public_key", "agent_version", "protocol_version", "listen_addrs"):
        if getattr(before, name) != getattr(after, name):
            raise Deviation(f"{name} of its own answer has changed")


@SECTION.should(
    8,
    f"Push {MANY} times in a second",
    "rate limited, connection lives",
    limit_s=5,
    source=ROBUSTNESS,
    harmful=True,
    hurts=True,
)
async def many(attempt: Attempt) -> str:
    session = await attempt.session()
    streams = []
    for number in range(MANY):
        stream = session.start()
        streams.append(stream)
        stream.send(encode_token(HEADER) + encode_token(services.PUSH) + part(number))
        stream.finish()
    await session.until(
        lambda: all(each.ending is not None for each in streams) or None, f"end of {MANY} push streams"
    )
    await session.alive()
    taken = sum(each.ending == "end of stream" for each in streams)
    return f"{taken} of {MANY} taken"
