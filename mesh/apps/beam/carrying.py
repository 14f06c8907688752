"""Bytes between a stream of a peer and a TCP connection on this machine, both ways, each end passed on by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final

from mesh.apps.beam.paths import PathStream
from mesh.errors import MeshError

CHUNK_BYTES: Final = 64 * 1024
_NO_LINGER: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)


@dataclass(slots=True)
class Tally:
    """Bytes that passed: from the TCP connection to the peer, and the other way."""

    out_bytes: int = 0
    in_bytes: int = 0


async def carry(
    stream: PathStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """Pass everything on until both ends have ended; whether both did so in order. Otherwise, and when cancelled, both
    are torn down at once, so that nobody takes a half for the whole."""
    whole = False
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_outward(stream, reader, tally))
            group.create_task(_inward(stream, writer, tally))
        await stream.close()
        whole = True
    except* (MeshError, OSError):
        pass
    finally:
        if not whole:
            stream.reset()
            break_off(writer)
        else:
            writer.close()
    return whole


def break_off(writer: asyncio.StreamWriter) -> None:
    """End a connection so that its other end gets an error, not an end in order."""
    own: socket.socket | None = writer.get_extra_info("socket")
    if own is not None and not writer.transport.is_closing():
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def _outward(stream: PathStream, reader: asyncio.StreamReader, tally: Tally) -> None:
    while data := await reader.read(CHUNK_BYTES):
        await stream.write(data)
        tally.out_bytes += len(data)
    await stream.close_write()


async def _inward(stream: PathStream, writer: asyncio.StreamWriter, tally: Tally) -> None:
    while chunk := await stream.read_chunk():
        writer.write(bytes(chunk))
        tally.in_bytes += len(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
