"""How large the datagrams of a connection over qh3 are (RFC 9000, 14).

The core's own discovery is for dialers, and probes only while it has nothing to send. Here both ends begin with the
largest datagrams as soon as keys are there (`qh3_tls` keeps those of the handshake small), and fall back for good to the
small ones if anything is lost, or a timeout passes, before the first large one is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qh3._hazmat import QuicConnectionCore

from mesh.network.quic.engine import Address


class Trial:
    """Undecided until the first large datagram's fate is known. Sizes in bytes."""

    __slots__ = ("_losses", "_packet", "_shrink", "_small", "_timeouts")

    def __init__(self, small: int, shrink: Callable[[], None]) -> None:
        """``shrink`` makes the core send none larger than ``small`` from now on."""
        self._small = small
        self._shrink = shrink
        self._packet: int | None = None
        self._losses = 0
        self._timeouts = 0

    def note(self, core: QuicConnectionCore, sent: Sequence[tuple[bytes, Address]]) -> None:
        """These have left: the first large one among them decides."""
        small = self._small
        if self._packet is None and any(len(datagram) > small for datagram, _ in sent):
            for number, size, _ in core.outstanding_application_packets:
                if size > small:
                    self._packet = number
                    self._losses = core.loss_total
                    self._timeouts = core.pto_total
                    return

    def decided(self, core: QuicConnectionCore) -> bool:
        """Whether all is known; the core sends small ones from now on if they did not arrive."""
        if self._packet is None:
            return False
        if core.loss_total > self._losses or core.pto_total > self._timeouts:
            self._shrink()
            return True
        return all(number != self._packet for number, _, _ in core.outstanding_application_packets)
