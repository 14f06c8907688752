"""How large the datagrams of a connection over qh3 are (RFC 9000, 14).

The core's own discovery is for dialers, probes only while nothing waits to be sent, and what a listener's core begins
with it can lower but not raise. So both ends begin with a core that may send the largest. `qh3.tls` keeps datagrams of
the handshake small, and what follows is kept small by giving the core no more of a stream at once than a small one
holds, but for one piece that fills a large one. Once that is acknowledged nothing is held back any more. If anything is
lost before, or a timeout passes, the core is told to send small ones for good; then, before it is asked for another
datagram, it holds no frame that needs a larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qh3._hazmat import QuicConnectionCore

_FRAME_OVERHEAD_BYTES: Final = 100
"""At least what a datagram holds besides a stream's bytes."""


class Trial:
    """Undecided until the fate of the first large datagram is known. Sizes in bytes; ``room`` is what a small datagram
    takes of one stream."""

    __slots__ = ("_core", "_large", "_losses", "_packet", "_shrink", "_small", "_timeouts", "_trying", "room")

    def __init__(self, core: QuicConnectionCore, small: int, large: int, shrink: Callable[[], None]) -> None:
        """``small`` and ``large`` are datagrams. ``shrink`` makes the core send small ones from now on."""
        self._core = core
        self._small = small
        self.room = small - _FRAME_OVERHEAD_BYTES
        self._large = large
        self._shrink = shrink
        self._losses = core.loss_total
        self._timeouts = core.pto_total
        self._trying: int | None = None
        self._packet: int | None = None

    def piece(self, stream_id: int, waiting: int) -> int:
        """How much of a stream the core may have, all of what it got before having been sent."""
        core = self._core
        if self._packet is None and waiting >= self._large:
            # If it was tried before, the peer's windows were too small for a large datagram.
            if self._trying is not None and core.get_send_buffer_size(self._trying):
                return self.room
            if core.congestion_window - core.bytes_in_flight >= self._large:
                self._trying = stream_id
                return self._large
        return self.room

    def note(self, datagram: bytes) -> None:
        """This is about to leave."""
        full = max(self._small, self._large - _FRAME_OVERHEAD_BYTES)
        if self._packet is None and self._trying is not None and len(datagram) > full:
            large = [n for n, size, _ in self._core.outstanding_application_packets if size > full]
            self._packet = large[0] if large else None

    def decided(self) -> bool:
        """Whether all is known; to be asked after everything that may have told of a loss."""
        core = self._core
        if core.loss_total > self._losses or core.pto_total > self._timeouts:
            self._shrink()
            return True
        return self._packet is not None and all(
            number != self._packet for number, _, _ in core.outstanding_application_packets
        )
