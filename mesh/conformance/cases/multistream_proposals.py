"""multistream/2: names proposed, accepted and refused."""

from __future__ import annotations

from mesh.codecs.multistream import encode_token as token
from mesh.conformance.attempt import NOISE, TLS, Attempt, agreed
from mesh.conformance.case import Section
from mesh.conformance.verdict import Deviation
from mesh.conformance.wire import Wire
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

SECTION = Section("multistream/2", "Proposals", "connections: multistream-select")
UNKNOWN = "/mesh-conform/unknown/1.0.0"
FLOOD = 2000


async def opened(attempt: Attempt) -> Wire:
    """A connection on which both headers have been exchanged."""
    wire = await attempt.wire()
    wire.send(token(HEADER))
    first = await wire.token("multistream header")
    if first != HEADER:
        raise Deviation(f"the first token is {first[:64]!r}")
    return wire


async def refused(wire: Wire, name: str) -> None:
    """Propose a name that must be answered `na`."""
    wire.send(token(name))
    answer = await wire.token(f"answer to {name[:40]}")
    if answer != NOT_AVAILABLE:
        raise Deviation(f"the answer to {name[:40]} is {answer[:64]!r}")


async def echoed(wire: Wire, name: str) -> None:
    """Propose a name that must be accepted."""
    wire.send(token(name))
    answer = await wire.token(f"echo of {name}")
    if answer != name:
        raise Deviation(f"the answer to {name} is {answer[:64]!r}")


@SECTION.must(1, "Known security name", "same name echoed", limit_s=2, source="connections")
async def known(attempt: Attempt) -> None:
    await echoed(await opened(attempt), attempt.security_id)


@SECTION.must(2, "Unknown name, then a known one", "na, then echo", limit_s=2, source="connections")
async def unknown_then_known(attempt: Attempt) -> None:
    wire = await opened(attempt)
    await refused(wire, UNKNOWN)
    await echoed(wire, attempt.security_id)


@SECTION.must(3, "Name in other letter case", "na", limit_s=2, source="connections: exact match")
async def letter_case(attempt: Attempt) -> None:
    await refused(await opened(attempt), attempt.security_id.upper())


@SECTION.may(
    4, "Header a second time, then a known name", "na (or end), then echo", limit_s=2, source="connections"
)
async def header_twice(attempt: Attempt) -> str:
    wire = await opened(attempt)
    wire.send(token(HEADER) + token(attempt.security_id))
    answers = []
    try:
        while attempt.security_id not in answers:
            answers.append(await wire.token("echo"))
    except Deviation as deviation:
        return f"{answers}, then {deviation.actual}"
    return f"answers {answers}"


@SECTION.may(5, "ls", "na, or a list", limit_s=2, source="multistream-select 1.0")
async def listing(attempt: Attempt) -> str:
    wire = await opened(attempt)
    wire.send(token("ls"))
    answer = await wire.message(64 * 1024, "answer to ls")
    return f"answer {answer[:200]!r}"


@SECTION.should(
    6,
    "/libp2p/simultaneous-connect and a known name",
    "na, then echo",
    limit_s=2,
    source="connections/simopen (withdrawn)",
)
async def simultaneous(attempt: Attempt) -> None:
    wire = await opened(attempt)
    await refused(wire, "/libp2p/simultaneous-connect")
    await echoed(wire, attempt.security_id)


@SECTION.must(7, "A muxer name where security is due", "na", limit_s=2, source="connections: security first")
async def muxer_first(attempt: Attempt) -> None:
    await refused(await opened(attempt), YAMUX)


@SECTION.should(8, "/plaintext/2.0.0", "na on a public node", limit_s=2, source="plaintext")
async def plaintext(attempt: Attempt) -> None:
    await refused(await opened(attempt), "/plaintext/2.0.0")


@SECTION.should(
    9,
    f"{FLOOD} unknown names",
    "each answered na, or an orderly end",
    limit_s=5,
    harmful=True,
    hurts=True,
    source="implementation",
)
async def many_names(attempt: Attempt) -> str:
    wire = await opened(attempt)
    wire.send(b"".join([token(f"{UNKNOWN}/{number}") for number in range(FLOOD)]))
    answers = 0
    while answers < FLOOD:
        try:
            answer = await wire.token("na")
        except Deviation:
            if wire.ending is None:
                raise
            return f"{answers} answers, then {wire.ending}"
        if answer != NOT_AVAILABLE:
            raise Deviation(f"answer {answers} is {answer[:64]!r}")
        answers += 1
    return f"{answers} answers"


@SECTION.must(
    10,
    "Two known names sent together",
    "first is chosen, the second is payload for it",
    limit_s=3,
    source="connections",
    hurts=True,
)
async def two_names(attempt: Attempt) -> str:
    wire = await attempt.wire()
    other = TLS if attempt.target.security == "tls" else NOISE
    wire.send(token(HEADER) + token(other) + token(TLS if other == NOISE else NOISE))
    await agreed(wire, other)
    try:
        more = await wire.exactly(1)
    except Deviation:
        return f"the first is chosen; then {wire.state}"
    if more + wire.buffer == token(TLS if other == NOISE else NOISE):
        raise Deviation("the second name was echoed too")
    return f"the first is chosen; then {bytes(more + wire.buffer)[:16]!r}"
