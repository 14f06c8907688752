"""The seam below `Connection` and `Stream`: a muxer with its streams, and the driver that moves its bytes.

Two stacks are behind it: a byte stream with a security protocol and yamux (`mesh.network.driver`), and QUIC, which brings
both itself (`mesh.network.quic.driver`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from mesh.errors import MeshError
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.network.wakefulness import Wakefulness
from mesh.protocols.machine import Buffer


class MuxedStream(Protocol):
    """State of one stream, which its muxer alone changes. Byte counts.

    ``queued_bytes``: unread payload. ``send_window``: what may be sent now. ``reset_code``: both directions were ended at
    once, with this code. ``stop_code``: the peer reads no more, and said so with this code. ``owner`` and ``touched``
    belong to whoever drives the muxer, as does ``sink``: a muxer may offer it payload that has come while nothing is
    unread, as bytes with start and end, and need not queue what it takes (True).
    """

    owner: object
    sink: Callable[[bytes, int, int], bool] | None
    touched: bool

    @property
    def id(self) -> int: ...

    @property
    def inbound(self) -> bool: ...

    @property
    def queued_bytes(self) -> int: ...

    @property
    def send_window(self) -> int: ...

    @property
    def read_closed(self) -> bool: ...

    @property
    def write_closed(self) -> bool: ...

    @property
    def reset_code(self) -> int | None: ...

    @property
    def reset_by_peer(self) -> bool: ...

    @property
    def stop_code(self) -> int | None: ...

    @property
    def dead(self) -> bool:
        """Nothing more will come or may be sent, though unread payload can remain."""


StateT = TypeVar("StateT", bound=MuxedStream)


class Muxer(Protocol[StateT]):
    """Streams over one connection; `mesh.protocols.yamux.Session` tells what each door does."""

    gone: Callable[[StateT], None]

    @property
    def streams(self) -> Mapping[int, StateT]: ...

    @property
    def held_bytes(self) -> int: ...

    @property
    def queued_bytes(self) -> int: ...

    @property
    def room(self) -> int: ...

    @property
    def remote_gone(self) -> bool: ...

    @property
    def ended(self) -> MeshError | None: ...

    @property
    def rtt_s(self) -> float | None: ...

    @property
    def can_open(self) -> bool: ...

    def open(self) -> StateT: ...

    def accept(self, stream: StateT) -> None: ...

    def send(self, stream: StateT, data: Buffer) -> int: ...

    def own_queued(self) -> bool: ...

    def close_write(self, stream: StateT) -> None: ...

    def reset(self, stream: StateT, code: int = 0) -> None: ...

    def take(self, stream: StateT, max_bytes: int) -> Buffer: ...

    def drop(self, stream: StateT) -> None: ...

    def go_away(self) -> None: ...

    def shed(self) -> None: ...


class Authenticated(Protocol):
    """Who is at the other end, and how that was found out."""

    @property
    def remote_key(self) -> PublicKey: ...

    @property
    def remote_peer(self) -> PeerId: ...

    @property
    def early_muxer(self) -> bool: ...

    @property
    def security(self) -> str: ...

    @property
    def muxer(self) -> str: ...

    @property
    def session(self) -> Muxer[Any]: ...


class Carrier(Protocol):
    """What moves a connection's bytes; `mesh.network.driver.Driver` tells what each door does."""

    near: bool
    wakefulness: Wakefulness

    @property
    def session(self) -> Muxer[Any]: ...

    @property
    def stage(self) -> str: ...

    @property
    def paused(self) -> bool: ...

    @property
    def received_bytes(self) -> int: ...

    @property
    def sent_bytes(self) -> int: ...

    def waiter(self) -> asyncio.Future[None]: ...

    def request_flush(self) -> None: ...

    def schedule_flush(self) -> None: ...

    def defer_flush(self) -> None: ...

    def flush(self) -> None: ...

    def flush_full(self) -> None: ...

    def settle(self) -> None: ...

    def arm_by(self, deadline: float) -> None: ...

    def count_held(self) -> None: ...

    async def drained(self) -> None: ...

    def end(self, error: MeshError) -> None: ...

    def abort(self, error: MeshError) -> None: ...


class Owner(Protocol):
    """What a driver tells the connection above it."""

    def upgraded(self, result: Authenticated) -> None:
        """The stack is complete. May raise a `MeshError` to refuse the peer."""

    def stream_opened(self, stream: MuxedStream) -> None:
        """The peer opened a stream."""

    def stream_ready(self, stream: MuxedStream) -> None:
        """Something new for a stream's reader or writer."""

    def openable(self) -> None:
        """Streams were acknowledged; another may be opened."""

    def deadline(self) -> float | None:
        """The owner's own next deadline."""

    def wake(self, now: float) -> None:
        """The owner's deadline may have passed."""

    def lost(self, error: MeshError, stage: str) -> None:
        """The connection is gone; ``stage`` is what it was doing."""
