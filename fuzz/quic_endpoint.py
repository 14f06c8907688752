"""QUIC's endpoint between datagrams and connections, driven by commands read from bytes.

Every datagram is delivered to who owns its id, answered by something smaller, or dropped and counted; nothing else
happens, and what strangers can make the endpoint keep is bounded.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.codecs.quic import MIN_RESET_BYTES, Initial, LongHeader, Retry, ShortHeader
from mesh.errors import DecodeError
from mesh.network.quic.datagrams import Datagram
from mesh.network.quic.endpoint import Endpoint, Load, Receiver
from mesh.network.quic.engine import Address
from mesh.network.quic.stateless_reset import StatelessReset
from mesh.telemetry.counters import Counters

LOAD = Load(retry_above=2, max_handshakes=5)
OWNED = b"owned id"
REFUSED = b"refused!"
SIZES = (0, 22, 43, 100, 1199, 1200, 1452)
"""What a datagram is filled up to; 0 leaves it as it is."""
MAX_TOGETHER = 4
COMMAND_BYTES = 3


class Connection:
    """Checks that what it gets is its own."""

    def __init__(self, ids: set[bytes]) -> None:
        self.ids = ids
        self.received: list[bytes] = []
        self.unsettled = False

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        assert buffer
        for at in range(0, len(buffer), segment_bytes):
            each = buffer[at : at + segment_bytes]
            found = each[6 : 6 + each[5]] if each[0] & 0x80 else each[1:9]
            assert found in self.ids, f"{each[:30].hex()} is not of {self.ids}"
            self.received.append(each)
        self.unsettled = True

    def settle(self) -> None:
        assert self.unsettled, "nothing came, yet it is settled"
        self.unsettled = False


class Sent:
    """In place of a socket."""

    name: Address = ("127.0.0.1", 4001)
    blocked = False

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []

    def send(self, datagrams: Sequence[Datagram]) -> bool:
        self.datagrams += datagrams
        return True

    def close(self) -> None:
        """There is nothing to close."""


class Model:
    """An endpoint with one dialled connection and those that the bytes make it accept."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.sent = Sent()
        self.now = 1.0
        self.endpoint = Endpoint(
            StatelessReset(bytes(32)), self.counters, self.accept, LOAD, lambda: self.now
        )
        self.endpoint._socket = self.sent
        self.dialled = Connection({OWNED})
        self.connections = [self.dialled]
        self.endpoint.register(OWNED, self.dialled)
        self.retry = b""
        self.seen: list[object] = []

    def accept(self, address: Address, original_id: bytes, retry_id: bytes, now: float) -> Receiver | None:
        if original_id == REFUSED:
            return None
        made = Connection({retry_id or original_id})
        self.connections.append(made)
        return made

    @property
    def delivered(self) -> int:
        return sum(len(each.received) for each in self.connections)

    def receive(self, content: bytes, size: int, together: int, address: Address) -> None:
        """The same datagram once or joined with others like it."""
        datagram = content.ljust(size, b"\0")
        if not datagram:
            return
        before = self.delivered, self.counters.total("quic."), len(self.sent.datagrams)
        self.endpoint.datagrams(datagram * together, len(datagram), address, self.now)
        answers = self.sent.datagrams[before[2] :]
        delivered = self.delivered - before[0]
        assert delivered + self.counters.total("quic.") - before[1] == together
        assert len(answers) == self.counters.total("quic.answered")
        self.sent.datagrams.clear()
        self.counters = self.endpoint._counters = Counters()
        for answer, to in answers:
            assert to == address
            assert MIN_RESET_BYTES <= len(answer) < len(datagram) or (
                answer[0] & 0x80 and 3 * len(answer) < 2 * len(datagram)
            )
            if answer[0] & 0xF0 == 0xF0 and answer[1:5] == b"\0\0\0\1":
                self.retry = answer
        self.seen.append((delivered, [len(answer) for answer, _ in answers]))

    def come_back(self, address: Address) -> None:
        """What a client does that got a Retry."""
        try:
            retry = Retry.decode(self.retry)
        except DecodeError:
            return
        initial = Initial(0xC0, retry.source_id, retry.destination_id, retry.token_and_tag[:-16], 100)
        self.receive(initial.encode(), 1200, 1, address)

    def end(self, number: int) -> None:
        """A connection's handshake is over, and perhaps the connection."""
        made = self.connections[number % len(self.connections)]
        self.endpoint.finished(made)
        if number & 1:
            self.endpoint.forget(OWNED)

    def settle(self) -> None:
        self.endpoint.settle()
        assert not any(each.unsettled for each in self.connections)
        assert self.endpoint.handshakes <= LOAD.max_handshakes
        assert self.endpoint.ids <= self.endpoint.handshakes + 1
        assert len(self.endpoint._lingering) <= len(self.connections)


def live_endpoint(parts: Sequence[bytes]) -> object:
    """Obey the commands in the bytes: what to do, to which size, how long the datagram is, the datagram."""
    data = b"".join(parts)
    model = Model()
    at = 0
    while at + COMMAND_BYTES <= len(data):
        command, size, length = data[at : at + COMMAND_BYTES]
        at += COMMAND_BYTES
        address = ("127.0.0.1", 5000 + command % 3)
        if command >= 0xF0:
            model.come_back(address)
        elif command >= 0xE0:
            model.end(size)
        else:
            together = 1 + command // 3 % MAX_TOGETHER
            model.receive(data[at : at + length], SIZES[size % len(SIZES)], together, address)
            at += length
        if size & 0x80:
            model.settle()
        model.now += 0.01 * (command & 3)
    model.settle()
    model.endpoint.close()
    return model.seen, [len(each.received) for each in model.connections]


def commands(rng: random.Random) -> tuple[bytes, ...]:
    """Datagrams of clients, of peers and of nobody, in any order."""
    drawn: list[bytes] = [bytes((0, 5, 0))]
    for _ in range(rng.randrange(5, 30)):
        own = rng.choice((OWNED, rng.randbytes(8), REFUSED, b"client %d" % rng.randrange(6)))
        content = rng.choice(
            (
                Initial(0xC0 | rng.randrange(16), own, b"source", rng.choice((b"", bytes(60))), 100).encode(),
                LongHeader(0xC0, rng.choice((0, 1, 2, 0x1A2A3A4A)), own, b"source").encode(),
                LongHeader(0xE0, 1, own, b"").encode(),
                ShortHeader(0x40, own).encode(),
                rng.randbytes(rng.randrange(12)),
            )
        )
        command = rng.choice((rng.randrange(0xE0), rng.randrange(256)))
        drawn.append(bytes((command, rng.choice((5, 6, 12, 13, rng.randrange(256))), len(content))))
        if command < 0xE0:
            drawn.append(content)
    return tuple(drawn)
