"""How large the datagrams of a connection over qh3 are (RFC 9000, 14).

The core's own discovery is for dialers, probes only while nothing waits to be sent, and what a listener's core begins
with it can lower but not raise. So both ends begin with a core that may send the largest. `qh3_tls` keeps datagrams of
the handshake small, and those that follow are kept small here: of a stream the core gets no more at once than a small
one holds, but for one piece that fills a large one. Once that is acknowledged nothing is held back any more. If anything
is lost before, or a timeout passes, the core is told to send small ones for good; then, before it is asked for another
datagram, it holds no frame that needs a larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qh3._hazmat import QuicConnectionCore

from mesh.protocols.machine import Buffer

FRAME_OVERHEAD_BYTES: Final = 100
"""At least what a datagram holds besides a stream's bytes."""


class Trial:
    """Undecided until the fate of the first large datagram is known; until then it stands before the core's streams.

    Sizes in bytes. `write` and `release` raise as the core does when a stream is over.
    """

    __slots__ = (
        "_core",
        "_large",
        "_losses",
        "_packet",
        "_shrink",
        "_small",
        "_staged",
        "_timeouts",
        "_trying",
    )

    def __init__(self, core: QuicConnectionCore, small: int, large: int, shrink: Callable[[], None]) -> None:
        """``small`` and ``large`` are datagrams. ``shrink`` makes the core send small ones from now on."""
        self._core = core
        self._small = small
        self._large = large
        self._shrink = shrink
        self._losses = core.loss_total
        self._timeouts = core.pto_total
        self._staged: dict[int, tuple[bytearray, bool]] = {}
        self._trying: int | None = None
        self._packet: int | None = None

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        """Queue bytes: with the core what a small datagram holds, here what is more."""
        room = self._small - FRAME_OVERHEAD_BYTES
        staged = self._staged.get(stream_id)
        if staged is None:
            if self._core.get_send_buffer_size(stream_id) + len(data) <= room:
                self._core.send_stream(stream_id, data, fin)
                return
            staged = (bytearray(), fin)
        staged[0].extend(data)
        self._staged[stream_id] = (staged[0], fin)

    def staged_bytes(self, stream_id: int) -> int:
        staged = self._staged.get(stream_id)
        return 0 if staged is None else len(staged[0])

    def drop(self, stream_id: int) -> None:
        """Nothing more of this stream is to be sent."""
        self._staged.pop(stream_id, None)

    def feed(self) -> None:
        """Give the core another piece, before it is asked for a datagram: asked in vain it thinks that one was sent."""
        core = self._core
        if self._trying is not None and self._packet is None and not core.get_send_buffer_size(self._trying):
            self._trying = None  # the peer's windows were too small for a large datagram
        for stream_id, (data, _) in self._staged.items():
            if core.get_send_buffer_size(stream_id):
                continue
            if self._trying is not None or len(data) < self._large:
                self._pass_on(stream_id, self._small - FRAME_OVERHEAD_BYTES)
            elif core.congestion_window - core.bytes_in_flight >= self._large:
                self._trying = stream_id
                self._pass_on(stream_id, self._large)
            else:
                continue
            return

    def _pass_on(self, stream_id: int, size: int) -> None:
        data, fin = self._staged.pop(stream_id)
        piece = bytes(data[:size])
        del data[:size]
        if data:
            self._staged[stream_id] = (data, fin)
        self._core.send_stream(stream_id, piece, fin and not data)

    def note(self, datagram: bytes) -> None:
        """This is about to leave."""
        full = max(self._small, self._large - FRAME_OVERHEAD_BYTES)
        if self._packet is None and self._trying is not None and len(datagram) > full:
            large = [n for n, size, _ in self._core.outstanding_application_packets if size > full]
            self._packet = large[0] if large else None

    def decided(self) -> bool:
        """Whether all is known, to be asked after everything that may have told of a loss; then comes `release`."""
        core = self._core
        if core.loss_total > self._losses or core.pto_total > self._timeouts:
            self._shrink()
            return True
        return self._packet is not None and all(
            number != self._packet for number, _, _ in core.outstanding_application_packets
        )

    def release(self) -> None:
        """Give the core all that was kept."""
        while self._staged:
            stream_id, (data, fin) = self._staged.popitem()
            self._core.send_stream(stream_id, data, fin)
