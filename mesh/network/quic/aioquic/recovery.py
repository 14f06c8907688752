"""How much may be under way: congestion control, pacing and bounds, on aioquic's loss recovery.

aioquic lets a congestion window grow that nobody fills (RFC 9002 section 7.8), knows no upper bound, and paces by
bursts that suit a finer timer than a loop has. Its round trip is never under a millisecond; `Window.rtt_s` may be.
"""

from __future__ import annotations

from collections.abc import Callable

from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery

MAX_PACKETS_IN_FLIGHT = 16_384
"""aioquic writes packet numbers in two bytes: half of what they can tell apart, and some of that in reserve."""
TIMER_S = 0.0025
"""A timer may be late by this much; as much must be allowed at once to keep up the rate."""
BURST_DATAGRAMS = 10
PACE = 1.25
"""Of the rate that fills the window once a round trip (RFC 9002 section 7.7)."""
INITIAL_RTT_S = 0.1
NEARLY_FULL_DATAGRAMS = 3


class Window(CubicCongestionControl):
    """CUBIC that grows only while its window is what holds the sender back, and never above ``most_bytes``."""

    def __init__(self, max_datagram_size: int, most_bytes: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._most_bytes = most_bytes
        self.rtt_s: float | None = None

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        window, flight = self.congestion_window, self.bytes_in_flight
        starting = self.ssthresh is None or window < self.ssthresh
        if (starting and flight * 2 > window) or (
            window - flight <= NEARLY_FULL_DATAGRAMS * self._max_datagram_size
        ):
            super().on_packet_acked(now=now, packet=packet)
            if self.congestion_window > self._most_bytes:
                self.congestion_window = self._most_bytes
        else:
            self.bytes_in_flight = flight - packet.sent_bytes
            self.last_ack = packet.sent_time or now

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        super().on_rtt_measurement(now=now, rtt=rtt)
        self.rtt_s = rtt if self.rtt_s is None else 0.875 * self.rtt_s + 0.125 * rtt

    def resize(self, datagram_bytes: int) -> None:
        """Count in datagrams of another size from now on."""
        self._max_datagram_size = datagram_bytes
        self.additive_increase_factor = datagram_bytes


class Pacer(QuicPacketPacer):
    """Allows at once what a late timer would have let through."""

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        rate = PACE * congestion_window / max(smoothed_rtt, 1e-6)
        self.packet_time = max(1e-7, min(self._max_datagram_size / rate, 1.0))
        self.bucket_max = max(BURST_DATAGRAMS * self._max_datagram_size / rate, TIMER_S)
        self.bucket_time = min(self.bucket_time, self.bucket_max)

    def update_after_send(self, now: float) -> None:
        """Asked for the next time just before, the bucket is as full as ``now`` makes it."""
        if self.packet_time is not None:
            self.bucket_time = max(self.bucket_time - self.packet_time, 0.0)

    def resize(self, datagram_bytes: int) -> None:
        """Count in datagrams of another size from the next acknowledgement on."""
        self._max_datagram_size = datagram_bytes


class Recovery(QuicPacketRecovery):
    """``batch_bytes`` is what the next call may add to what is in flight, besides acknowledgements."""

    def __init__(
        self, dialer: bool, datagram_bytes: int, most_bytes: int, send_probe: Callable[[], None]
    ) -> None:
        super().__init__(
            congestion_control_algorithm="cubic",
            initial_rtt=INITIAL_RTT_S,
            max_datagram_size=datagram_bytes,
            peer_completed_address_validation=not dialer,
            send_probe=send_probe,
        )
        self.window = Window(datagram_bytes, most_bytes)
        self._cc = self.window
        self._pacer: Pacer = Pacer(max_datagram_size=datagram_bytes)
        self.batch_bytes = most_bytes

    @property
    def congestion_window(self) -> int:
        flight = self.window.bytes_in_flight
        if self.spaces[-1].ack_eliciting_in_flight >= MAX_PACKETS_IN_FLIGHT:
            return flight
        return min(self.window.congestion_window, flight + self.batch_bytes)

    @property
    def timeouts(self) -> int:
        """How many probe timeouts have passed in a row without an acknowledgement."""
        return self._pto_count

    @property
    def pacer(self) -> Pacer:
        return self._pacer

    def resize(self, datagram_bytes: int) -> None:
        """Send datagrams of another size from now on."""
        self.window.resize(datagram_bytes)
        self._pacer.resize(datagram_bytes)
