"""The state of one yamux stream; `Session` alone changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from mesh.codecs.yamux import INITIAL_WINDOW_BYTES
from mesh.protocols.machine import Buffer
from mesh.protocols.yamux.outbox import Place

MAX_RESET_CODE = 0xFFFF_FFFF
"""Codes have 32 bits (libp2p error codes); those of QUIC's own may be larger."""


class ResetCode(IntEnum):
    """Why a stream was reset; travels as the length of a window update with RST (libp2p error codes)."""

    NONE = 0
    NEGOTIATION_FAILED = 0x1001
    RESOURCE_LIMIT = 0x1002
    RATE_LIMITED = 0x1003
    PROTOCOL_VIOLATION = 0x1004
    SUPPLANTED = 0x1005
    GARBAGE_COLLECTED = 0x1006
    SHUTDOWN = 0x1007
    GATED = 0x1008


class Stream:
    """Windows, queue and closing state of a stream. Byte counts; windows count payload only.

    ``send_window``: what we may still send. ``receive_window``: what the peer may still send. ``window_bytes``: the size
    to which consuming restores the peer's window. ``queued_bytes``: unread payload; ``held_bytes``: memory it keeps
    alive. ``opening``: where the first frame waits, until more is sent. ``owner`` and ``sink`` belong to whoever drives
    the session; see `MuxedStream`.
    """

    __slots__ = (
        "acknowledged",
        "held_bytes",
        "id",
        "inbound",
        "opening",
        "owner",
        "pending_flags",
        "queue",
        "queued_bytes",
        "read_closed",
        "receive_window",
        "reset_by_peer",
        "reset_code",
        "send_window",
        "sink",
        "touched",
        "updated_at",
        "window_bytes",
        "write_closed",
    )

    stop_code: int | None = None
    """A peer of yamux cannot say that it reads no more."""

    def __init__(self, stream_id: int, inbound: bool, pending_flags: int, now: float) -> None:
        self.id = stream_id
        self.inbound = inbound
        self.acknowledged = False
        self.pending_flags = pending_flags
        self.opening: Place | None = None
        self.send_window = INITIAL_WINDOW_BYTES
        self.receive_window = INITIAL_WINDOW_BYTES
        self.window_bytes = INITIAL_WINDOW_BYTES
        self.updated_at = now
        self.queue: deque[memoryview | bytearray | bytes] | None = None
        self.queued_bytes = 0
        self.held_bytes = 0
        self.read_closed = False
        self.write_closed = False
        self.reset_code: int | None = None
        self.reset_by_peer = False
        self.touched = False
        self.owner: object = None
        self.sink: Callable[[bytes, int, int], bool] | None = None

    @property
    def dead(self) -> bool:
        """Nothing more will come or may be sent, though unread payload can remain."""
        return self.reset_code is not None or (self.read_closed and self.write_closed)

    def take_flags(self) -> int:
        """SYN or ACK still to be said, once: it goes on the next frame."""
        flags = self.pending_flags
        self.pending_flags = 0
        return flags

    def store(self, record: bytes, start: int, end: int) -> int:
        """Queue ``record[start:end]``; returns how many bytes more are held."""
        size = end - start
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        if size * 2 >= len(record) and size >= 1024:
            queue.append(memoryview(record)[start:end])
            held = len(record)
        else:
            last = queue[-1] if queue else None
            if last is None or type(last) is memoryview:
                queue.append(record[start:end])
            elif type(last) is bytearray:
                last += record[start:end]
            else:
                queue[-1] = bytearray(last) + record[start:end]
            held = size
        self.queued_bytes += size
        self.held_bytes += held
        return held

    def fetch(self, max_bytes: int) -> tuple[Buffer, int]:
        """Take up to ``max_bytes`` from the queue's first chunk; returns the payload and how many bytes are let go."""
        queue = self.queue
        if not queue:
            return b"", 0
        chunk = queue[0]
        size = len(chunk)
        if size <= max_bytes:
            queue.popleft()
            payload: Buffer = chunk
            released = len(chunk.obj) if type(chunk) is memoryview else size  # type: ignore[arg-type]
        elif type(chunk) is memoryview:
            queue[0] = chunk[max_bytes:]
            payload = chunk[:max_bytes]
            size, released = max_bytes, 0
        else:
            payload = bytes(memoryview(chunk)[:max_bytes])
            if type(chunk) is bytearray:
                del chunk[:max_bytes]
            else:
                queue[0] = bytearray(memoryview(chunk)[max_bytes:])
            size = released = max_bytes
        self.queued_bytes -= size
        self.held_bytes -= released
        return payload, released

    def discard(self) -> int:
        """Forget unread payload; returns how many bytes are let go."""
        released = self.held_bytes
        self.queue = None
        self.queued_bytes = self.held_bytes = 0
        return released
