"""`/echo/1.0.0`: everything comes back, until the peer ends its side. Served when asked for."""

from __future__ import annotations

from mesh.network.stream import Stream

PROTOCOL_ID = "/echo/1.0.0"


async def serve(stream: Stream) -> None:
    """Answer one stream; memory is bounded by the stream's windows."""
    while chunk := await stream.read_chunk():
        await stream.write(chunk)
