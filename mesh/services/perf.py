"""`/perf/1.0.0`: the opener says how many bytes it wants, uploads, ends its side; they are sent back (libp2p perf)."""

from __future__ import annotations

from mesh.codecs.perf import Request
from mesh.network.stream import WRITE_BYTES, Stream

PROTOCOL_ID = "/perf/1.0.0"
_ZEROS = memoryview(bytes(WRITE_BYTES))


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
