"""perf/1: so many bytes up, so many back."""

from __future__ import annotations

import asyncio

from mesh.codecs.perf import REQUEST, REQUEST_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.yamux_closing import orderly_end, stops_sending
from mesh.conformance.verdict import Deviation

SECTION = Section("perf/1", "Transfer", "perf", needs=(services.PERF,))
MIB = 1 << 20
REST_S = 1.0
ENDLESS = 2**64 - 1


@SECTION.must(1, "0 bytes wanted, 0 sent, close", "end of stream, nothing sent", limit_s=5)
async def nothing(attempt: Attempt) -> None:
    stream = await attempt.stream(services.PERF)
    stream.send(REQUEST.pack(0))
    stream.finish()
    await orderly_end(stream)


@SECTION.must(2, "1 MiB wanted, close", "exactly 1 MiB", limit_s=10)
async def download(attempt: Attempt) -> None:
    stream = await attempt.stream(services.PERF)
    stream.send(REQUEST.pack(MIB))
    stream.finish()
    await stream.exactly(MIB)
    await orderly_end(stream)


@SECTION.must(3, "1 MiB sent, 0 wanted", "end only after reading all", limit_s=10)
async def upload(attempt: Attempt) -> None:
    stream = await attempt.stream(services.PERF)
    await stream.write(REQUEST.pack(0) + attempt.rng.randbytes(MIB))
    await asyncio.sleep(REST_S)
    if stream.ending is not None:
        raise Deviation(f"the stream ended ({stream.ending}) before our side did")
    stream.finish()
    await orderly_end(stream)


@SECTION.must(
    4,
    "Wanted 10, no close of writing",
    "nothing until we close",
    limit_s=5,
    source="perf: not at the same time",
)
async def not_yet(attempt: Attempt) -> None:
    stream = await attempt.stream(services.PERF)
    stream.send(REQUEST.pack(10))
    await stream.silent_for(REST_S)
    stream.finish()
    await stream.exactly(10)
    await orderly_end(stream)


@SECTION.should(5, "7 of 8 length bytes, close", "reset or end, no data", limit_s=5)
async def short_request(attempt: Attempt) -> str:
    stream = await attempt.stream(services.PERF)
    stream.send(bytes(REQUEST_BYTES - 1))
    stream.finish()
    return await stream.ended_silently("end of the stream")


@SECTION.must(6, "Wanted 2^64-1, reset after 1 MiB", "stops", limit_s=10, harmful=True, hurts=True)
async def endless(attempt: Attempt) -> str:
    stream = await attempt.stream(services.PERF)
    stream.send(REQUEST.pack(ENDLESS))
    stream.finish()
    try:
        await stream.until(lambda: stream.total_bytes >= MIB or None, "1 MiB")
    except Deviation:
        if stream.ending is None:
            raise
        await stream.session.alive()
        return f"not granted: {stream.ending}"
    stream.reset()
    await stops_sending(stream.session, stream)
    return f"stops after {stream.total_bytes} bytes"


@SECTION.should(7, "Default configuration", "perf not offered", limit_s=2, source="perf: security", needs=())
async def not_offered(attempt: Attempt) -> None:
    if attempt.target.serves(services.PERF):
        raise Deviation("perf is offered")
