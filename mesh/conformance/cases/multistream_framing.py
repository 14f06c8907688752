"""multistream/3: lengths and ends of tokens."""

from __future__ import annotations

from mesh.codecs.multistream import encode_token as token
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.multistream_proposals import opened
from mesh.conformance.verdict import Deviation
from mesh.multiformats import varint
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE

SECTION = Section("multistream/3", "Framing and limits", "implementation", hurts=True)


def of_size(size: int) -> bytes:
    """A token of so many bytes with its newline, its length not counted."""
    return varint.encode(size) + b"/" + b"x" * (size - 2) + b"\n"


@SECTION.should(1, "Token of 1024 bytes with newline, unknown name", "na", limit_s=2)
async def longest(attempt: Attempt) -> None:
    wire = await opened(attempt)
    wire.send(of_size(1024))
    answer = await wire.token("na")
    if answer != NOT_AVAILABLE:
        raise Deviation(f"the answer is {answer[:64]!r}")


@SECTION.may(2, "Token of 1025 bytes", "end, or na; no crash", limit_s=3)
async def too_long(attempt: Attempt) -> str:
    wire = await opened(attempt)
    wire.send(of_size(1025))
    try:
        return f"answer {(await wire.token('na'))[:64]!r}"
    except Deviation:
        return wire.state


@SECTION.must(
    3, "Length field of 2^31", "end without allocating", limit_s=3, source="robustness", harmful=True
)
async def huge_length(attempt: Attempt) -> None:
    wire = await opened(attempt)
    wire.send(varint.encode(2**31))
    await wire.ended_silently()


@SECTION.must(4, "Token without newline", "end", limit_s=3, source="connections: newline")
async def no_newline(attempt: Attempt) -> None:
    wire = await opened(attempt)
    wire.send(varint.encode(6) + b"/noise")
    await wire.ended_silently()


@SECTION.must(5, "Length 0", "end", limit_s=3, source="connections")
async def empty(attempt: Attempt) -> None:
    wire = await opened(attempt)
    wire.send(b"\x00")
    await wire.ended_silently()


@SECTION.should(6, "Length written in non-minimal form", "end", limit_s=3, source="unsigned-varint")
async def non_minimal(attempt: Attempt) -> None:
    wire = await opened(attempt)
    whole = token(attempt.security_id)
    wire.send(bytes((whole[0] | 0x80, 0)) + whole[1:])
    await wire.ended_silently()


@SECTION.must(7, "Length of ten continuation bytes", "end", limit_s=3, source="unsigned-varint")
async def endless_length(attempt: Attempt) -> None:
    wire = await opened(attempt)
    wire.send(b"\x80" * 10)
    await wire.ended_silently()


@SECTION.must(
    8, "Half a token, then TCP close", "no crash; next connection works", limit_s=3, source="robustness"
)
async def cut_token(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token(HEADER)[:9])
    wire.close()
    await opened(attempt)


@SECTION.should(9, "Half a token, then silence", "ends by the upgrade limit", limit_s=30, slow=True)
async def half_token(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token(HEADER)[:9])
    await wire.ended()
