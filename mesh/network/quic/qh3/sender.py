"""What a connection over qh3 sends: datagrams of its core, as far as window and address allow, and packets of our own.

The core builds packets in turn and sends what it is asked for. Our own say what it cannot, see `qh3.path` and
`qh3.credit`: each takes the number after the core's last, which the core is told to leave out. A datagram that ends in a
packet with a short header holds the highest number the core has given away, for it builds one such packet at a time;
opening it tells that number for certain, since it is authenticated. A number used twice would give the keys away, so
without that certainty nothing of our own is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qh3._hazmat import QuicConnectionCore

from mesh.network.quic.engine import Address, Settings
from mesh.network.quic.protection import Protection
from mesh.network.quic.qh3.credit import Credit
from mesh.network.quic.qh3.handshake import CORE_ERRORS
from mesh.network.quic.qh3.outbox import Outbox, is_full
from mesh.network.quic.qh3.path import Path

MAX_PROBES: Final = 64
MAX_TIMERS: Final = 8
FEEDING_DATAGRAMS: Final = 16
"""How many leave between two looks at what else there is for the core."""
RETRY_S: Final = 0.02
"""How long to wait for the core's next packet when the last one's number cannot be told."""
NO_ROOM: Final = "packet builder capacity exhausted"
"""What the core says when a frame does not fit in what may be sent to an address that is not validated yet: it waits."""
ROUNDING_S: Final = 1e-6
"""A deadline is rounded to a float: a wake at exactly that instant could come a nanosecond early."""
_APPLICATION_SPACE: Final = 2
_LONG: Final = 0x80


class Sender:
    """``outbox`` comes with the end of the handshake, and so does ``sealing``, the protection of what is sent to
    connection ids of ``id_bytes``. ``probing``: a timeout passed, and what the core repeats must be taken before its
    events. ``owes``: something came that may want an acknowledgement. ``failure``: what the core has failed with."""

    __slots__ = (
        "_allowed",
        "_last",
        "_ready",
        "_retry_at",
        "_settings",
        "_since",
        "credit",
        "failure",
        "id_bytes",
        "outbox",
        "owes",
        "path",
        "probing",
        "sealing",
    )

    def __init__(self, settings: Settings, path: Path, credit: Credit) -> None:
        self._settings = settings
        self.path = path
        self.credit = credit
        self.outbox: Outbox | None = None
        self.sealing: Protection | None = None
        self.id_bytes = 0
        self.failure: str | None = None
        self.probing = False
        self.owes = False
        self._ready: list[bytes] = []
        self._allowed = 1
        self._last = b""
        self._since = 0
        self._retry_at = 0.0

    def attend(self) -> None:
        """Something happened. Must come between what may tell of a loss and the next datagram."""
        self._allowed = 1
        self._judge()

    def _judge(self) -> None:
        outbox = self.outbox
        if outbox is not None and outbox.trial is not None and outbox.trial.decided():
            outbox.trial = None

    def clear(self) -> None:
        """The connection is over; the core may still have a last word."""
        self.outbox = None
        self.sealing = None
        self._ready.clear()

    def deadline(self) -> float | None:
        """When to be asked for packets of our own; None for never."""
        credit_at, path_at = self.credit.due_at, self.path.deadline()
        if (credit_at is None and path_at is None) or self.sealing is None:
            return None
        due_at = min(at for at in (path_at, credit_at) if at is not None)
        return max(due_at, self._retry_at)

    # --- datagrams ----------------------------------------------------------------------------------------

    def transmit(self, core: QuicConnectionCore, now: float, most: int) -> list[tuple[bytes, Address]]:
        """At most ``most`` datagrams to send now."""
        due_at = self.credit.due_at
        if self._ready or self.path.limit is not None or (due_at is not None and due_at <= now):
            return self._transmit_besides(core, now, most)
        return self._fresh(core, now, most)

    def _transmit_besides(
        self, core: QuicConnectionCore, now: float, most: int
    ) -> list[tuple[bytes, Address]]:
        path = self.path
        sent = self._own(core, now)[:most]
        most -= len(sent)
        if path.limit is not None:
            return sent + self._within_limit(core, now, most)
        if self._ready:
            held, self._ready = self._ready[:most], self._ready[most:]
            return sent + [(datagram, path.peer) for datagram in held]
        return sent + self._fresh(core, now, most)

    def _within_limit(self, core: QuicConnectionCore, now: float, most: int) -> list[tuple[bytes, Address]]:
        """What may go to an address that is not proven; what the core gives beyond that waits."""
        path = self.path
        sent: list[tuple[bytes, Address]] = []
        while len(sent) < most:
            if not self._ready:
                self._ready += [datagram for datagram, _ in self._fresh(core, now, 1)]
            if not self._ready or not path.spend(len(self._ready[0])):
                break
            sent.append((self._ready.pop(0), path.peer))
        return sent

    def _fresh(self, core: QuicConnectionCore, now: float, most: int) -> list[tuple[bytes, Address]]:
        settings = self._settings
        window = settings.max_in_flight_bytes
        if self.path.narrow:
            window = self.path.window(window, now, core.smoothed_rtt)
        room = (window - core.bytes_in_flight) // settings.max_datagram_bytes
        if room < most:
            if room <= 0:
                # Acknowledgements and probes still have to leave, else two full ends would wait for each other.
                room, self._allowed = self._allowed, 0
            most = room
        sent = self._poll(core, self.outbox, now, most)
        if self.owes and not sent:
            sent = self._release_acknowledgement(core, now)
        return sent

    def _poll(
        self, core: QuicConnectionCore, outbox: Outbox | None, now: float, most: int
    ) -> list[tuple[bytes, Address]]:
        sent: list[tuple[bytes, Address]] = []
        append = sent.append
        poll = core.poll_transmit
        peer = self.path.peer
        staged = None if outbox is None else outbox.staged
        trial = None if outbox is None else outbox.trial
        try:
            for count in range(most):
                if staged and outbox is not None and (trial is not None or not count % FEEDING_DATAGRAMS):
                    outbox.feed()
                datagram = poll(now)
                if datagram is None and outbox is not None and (outbox.feed() or outbox.pass_over()):
                    datagram = poll(now)
                if datagram is None:
                    break
                append((datagram[0], peer))
                if trial is not None:
                    trial.note(datagram[0])
        except CORE_ERRORS as error:
            if str(error) != NO_ROOM:
                self.failure = str(error)
        if sent:
            self._last = sent[-1][0]
            self._since += len(sent)
        return sent

    def send_probes(self, core: QuicConnectionCore, now: float) -> bool:
        """After a timeout the core repeats what may have arrived, and fails when a stream ends before it has: so what it
        repeats is taken from it before its events. Whether it has no more of that."""
        self._ready += [datagram for datagram, _ in self._poll(core, None, now, MAX_PROBES)]
        self.probing = is_full(core)
        return not self.probing

    def _release_acknowledgement(self, core: QuicConnectionCore, now: float) -> list[tuple[bytes, Address]]:
        """Something came that is to be acknowledged, and the core has nothing to send. While its window is full, frames
        that wait for it keep acknowledgements back too; only a timeout lets two datagrams pass. So one is made up."""
        self.owes = False
        if self.outbox is None or not is_full(core):
            return []
        for _ in range(MAX_TIMERS):
            timer = core.get_timer()
            if timer is None or timer[0] in ("idle", "close"):
                return []
            attempt(core.handle_timer, timer[1] + ROUNDING_S)
            if timer[0] == "loss_detection":
                self.probing = True
                self._judge()
                return self._poll(core, None, now, 2)
        return []

    # --- packets of our own -------------------------------------------------------------------------------

    def _own(self, core: QuicConnectionCore, now: float) -> list[tuple[bytes, Address]]:
        """Challenges and wider windows that are due. What of them is not sent is as good as lost, and comes again."""
        due_at = self.deadline()
        if due_at is None or now < due_at:
            return []
        number = self._next_number(core)
        sealing = self.sealing
        if number is None or sealing is None:
            self._retry_at = now + RETRY_S
            attempt(core.send_ping, 0)
            return []
        path = self.path
        destination_id = self._last[1 : 1 + self.id_bytes]
        sent = []
        for payload, address in path.challenges(now):
            sent.append((sealing.seal(number, destination_id, payload), address))
            number += 1
        credit = self.credit
        if credit.due_at is not None and credit.due_at <= now:
            payload = credit.frames(now, core.smoothed_rtt)
            if payload:
                packet = sealing.seal(number, destination_id, payload)
                number += 1
                if path.spend(len(packet)):
                    sent.append((packet, path.peer))
        core.restore_send_packet_number(_APPLICATION_SPACE, number)
        return sent

    def _next_number(self, core: QuicConnectionCore) -> int | None:
        """The number after the highest given away, None while that is not certain."""
        generation = self.generation(core)
        if generation is None or self.sealing is None or core.state != "connected":
            return None
        self.sealing.follow(generation)
        return self.sealing.newest + 1

    def generation(self, core: QuicConnectionCore) -> int | None:
        """How often the keys were updated, in both directions; None while that is not certain.

        The next update waits for an acknowledgement, so since the last packet was sent there was one at most.
        """
        sealing = self.sealing
        if sealing is None or not self._last or self._last[0] & _LONG:
            return None
        if self._since:
            expected = sealing.newest + self._since
            if sealing.catch_up(self._last, self.id_bytes, expected) is None:
                # The peer's connection ids are not of one length. It has to do without packets of our own.
                self.sealing = None
                return None
            self._since = 0
        return sealing.generation + (core.send_key_phase != sealing.generation & 1)


def attempt(command: Callable[..., object], *arguments: object) -> None:
    """A command that the core refuses on a stream or connection that is over: then there is nothing to do."""
    try:
        command(*arguments)
    except CORE_ERRORS:
        return
