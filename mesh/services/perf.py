"""`/perf/1.0.0`: the opener says how many bytes it wants, uploads, ends its side; they are sent back (libp2p perf).

`serve` answers; `measure` asks; `reported` asks and tells how it goes as libp2p's performance harness reads it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from mesh.codecs.perf import Request
from mesh.errors import PeerError, UsageError
from mesh.network.stream import Stream

PROTOCOL_ID = "/perf/1.0.0"
MAX_TRANSFER_BYTES: Final = 2**63 - 1
REPORT_S: Final = 1.0
_ZEROS = memoryview(bytes(512 * 1024))

Progress = Callable[[int, int], None]
"""Called with the bytes uploaded and downloaded so far, after each piece; it must not block."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Times of one measurement in seconds; the upload ends when its last byte has been handed to the muxer."""

    upload_bytes: int
    download_bytes: int
    upload_s: float
    download_s: float


async def serve(stream: Stream) -> None:
    """Answer one stream: read to the end of the upload, then send what was asked for."""
    wanted = Request.decode(await stream.read_exactly(Request.MAX_BYTES)).download_bytes
    while await stream.read_chunk():
        pass
    await send_zeros(stream, wanted)


async def send_zeros(stream: Stream, size: int) -> None:
    """Write ``size`` zero bytes."""
    while size:
        piece = _ZEROS[:size]
        await stream.write(piece)
        size -= len(piece)


async def measure(
    stream: Stream, upload_bytes: int, download_bytes: int, on_progress: Progress | None = None
) -> Transfer:
    """Upload, then download over a new perf stream, which has ended afterwards.

    Raises `UsageError` for sizes no request can carry, `PeerError` when the peer sends more or less than was asked for,
    and what ends the stream.
    """
    for size in (upload_bytes, download_bytes):
        if not 0 <= size <= MAX_TRANSFER_BYTES:
            raise UsageError(f"perf: {size} bytes are not between 0 and {MAX_TRANSFER_BYTES}")
    started = time.perf_counter()
    await stream.write(Request(download_bytes).encode())
    sent = 0
    while sent < upload_bytes:
        piece = _ZEROS[: upload_bytes - sent]
        await stream.write(piece)
        sent += len(piece)
        if on_progress is not None:
            on_progress(sent, 0)
    await stream.close_write()
    uploaded = time.perf_counter()
    received = 0
    while chunk := await stream.read_chunk():
        received += len(chunk)
        if received > download_bytes:
            raise PeerError(
                f"perf: more than the {download_bytes} bytes asked for came", protocol=PROTOCOL_ID
            )
        if on_progress is not None:
            on_progress(sent, received)
    if received < download_bytes:
        raise PeerError(f"perf: {received} of {download_bytes} bytes came", protocol=PROTOCOL_ID)
    return Transfer(sent, received, uploaded - started, time.perf_counter() - uploaded)


class Report:
    """Objects as libp2p's performance harness reads them: what went in each interval, then the sum over all."""

    __slots__ = (
        "_clock",
        "_downloaded",
        "_last",
        "_last_downloaded",
        "_last_uploaded",
        "_started",
        "_uploaded",
    )

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self._uploaded = self._downloaded = self._last_uploaded = self._last_downloaded = 0

    def add(self, uploaded: int, downloaded: int) -> None:
        """The bytes so far; fits `measure` as ``on_progress``."""
        self._uploaded, self._downloaded = uploaded, downloaded

    def intermediary(self) -> dict[str, object]:
        """Time and bytes since the last one."""
        now = self._clock()
        up, down = self._uploaded - self._last_uploaded, self._downloaded - self._last_downloaded
        spent, self._last = now - self._last, now
        self._last_uploaded, self._last_downloaded = self._uploaded, self._downloaded
        return _object("intermediary", spent, up, down)

    def final(self) -> dict[str, object]:
        """Time and bytes since the beginning."""
        return _object("final", self._clock() - self._started, self._uploaded, self._downloaded)


async def reported(
    open_stream: Callable[[], Awaitable[Stream]],
    upload_bytes: int,
    download_bytes: int,
    report: Report,
    interval_s: float = REPORT_S,
) -> AsyncGenerator[dict[str, object], None]:
    """`measure`, with an `intermediary` object every ``interval_s``; at the end `transfer` with the times of both ways,
    which the harness does not know, and `final`. Raises like `measure`; ended early, it resets the stream."""
    async with await open_stream() as stream:
        measuring = asyncio.create_task(
            measure(stream, upload_bytes, download_bytes, report.add), name="perf"
        )
        try:
            while not measuring.done():
                await asyncio.wait([measuring], timeout=interval_s)
                if not measuring.done():
                    yield report.intermediary()
            done = measuring.result()
        finally:
            measuring.cancel()
            await asyncio.wait([measuring])
    yield {"type": "transfer", "uploadSeconds": done.upload_s, "downloadSeconds": done.download_s}
    yield report.final()


def _object(kind: str, seconds: float, uploaded: int, downloaded: int) -> dict[str, object]:
    return {"type": kind, "timeSeconds": seconds, "uploadBytes": uploaded, "downloadBytes": downloaded}
