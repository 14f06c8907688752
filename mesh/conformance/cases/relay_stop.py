"""relay/2: the target reached through a relay, which the harness plays."""

from __future__ import annotations

from mesh.codecs.relay import Status, StopMessage, StopType
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.circuits import STOP, id_of, relay_of, stop_answer, upgraded
from mesh.conformance.protobuf_fields import NOT_PROTOBUF
from mesh.conformance.verdict import Deviation, Skipped, Unprepared
from mesh.framing import delimited

SECTION = Section("relay/2", "Stop", "circuit-v2", needs=(STOP,), lane="relay", hurts=True)


@SECTION.must(
    1,
    "Stop CONNECT with a peer (harness plays relay)",
    "STATUS 100 then upgrade begins, or a refusal",
    limit_s=15,
    source="circuit-v2: stop",
)
async def connect(attempt: Attempt) -> str:
    attempt.need_security("noise")
    inner = attempt.fresh_identity()
    stream, answer = await (await relay_of(attempt)).circuit(id_of(inner))
    if answer.type is not StopType.STATUS:
        raise Deviation(f"the answer is of type {answer.type}")
    if answer.status != Status.OK:
        return f"refused with {answer.status}"
    try:
        await (await upgraded(attempt, stream, inner)).alive()
    except Unprepared as reason:
        raise Deviation(f"status 100, but no connection: {reason}") from None
    return "status 100"


async def _refused(attempt: Attempt, sent: bytes, *allowed: Status) -> str:
    session = await attempt.session()
    stream = await session.open(STOP)
    stream.send(delimited.encode(sent))
    try:
        answer = await stop_answer(stream)
    except Deviation:
        if stream.ending is None:
            raise
        await session.alive()
        return stream.ending
    if answer.status not in allowed:
        raise Deviation(f"status {answer.status}")
    await session.alive()
    return f"status {answer.status}"


@SECTION.should(2, "Stop STATUS as request", "401 or 400", limit_s=5)
async def status(attempt: Attempt) -> str:
    request = StopMessage(StopType.STATUS, status=Status.OK)
    return await _refused(attempt, request.encode(), Status.UNEXPECTED_MESSAGE, Status.MALFORMED_MESSAGE)


@SECTION.should(3, "Stop CONNECT without peer", "400", limit_s=5)
async def no_peer(attempt: Attempt) -> str:
    return await _refused(attempt, StopMessage(StopType.CONNECT).encode(), Status.MALFORMED_MESSAGE)


@SECTION.should(4, "Undecodable", "400 or reset", limit_s=5)
async def undecodable(attempt: Attempt) -> str:
    return await _refused(attempt, NOT_PROTOBUF, Status.MALFORMED_MESSAGE)


@SECTION.must(
    5,
    "Circuit then wrong identity in the inner handshake",
    "inner connection refused",
    limit_s=15,
    source="circuit-v2, noise",
)
async def wrong_identity(attempt: Attempt) -> str:
    attempt.need_security("noise")
    named, inner = attempt.fresh_identity(), attempt.fresh_identity()
    relay = await relay_of(attempt)
    stream, answer = await relay.circuit(id_of(named))
    if answer.status != Status.OK:
        raise Skipped(f"the target takes no circuit: status {answer.status}")
    try:
        session = await upgraded(attempt, stream, inner)
        await session.alive()
    except (Deviation, Unprepared):
        await relay.session.alive()
        return stream.state
    raise Deviation("a connection stands with another peer than the relay named")
