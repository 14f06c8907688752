"""A client made by hand: sends what it is told and shows what comes back."""

from __future__ import annotations

import os
import socket
from types import TracebackType
from typing import Self

from mesh.codecs.quic import TAG_BYTES, Initial, LongHeader, Retry
from mesh.network.quic.endpoint import Endpoint, Load, Receiver
from mesh.network.quic.engine import Address
from mesh.network.quic.retry import integrity_tag
from mesh.network.quic.stateless_reset import StatelessReset
from mesh.telemetry.counters import Counters
from tests.network.live import eventually

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
KEY = bytes(range(32))


class Recorder:
    """A connection that keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.sources: list[Address] = []
        self.settled = 0

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        self.received += [buffer[at : at + segment_bytes] for at in range(0, len(buffer), segment_bytes)]
        self.sources.append(address)

    def settle(self) -> None:
        self.settled += 1


class Listening:
    """An endpoint that accepts with recorders. ``accepted`` holds address, original and Retry id of each."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.reset = StatelessReset(KEY)
        self.accepted: list[tuple[Address, bytes, bytes]] = []
        self.receivers: list[Recorder] = []
        self.refuses = self.registers = False
        self.endpoint: Endpoint = Endpoint(self.reset, self.counters)

    async def open(
        self,
        family: int = socket.AF_INET,
        load: Load | None = None,
        *,
        offload: bool = True,
        watched: bool = True,
        listens: bool = True,
    ) -> Self:
        host = HOSTS[socket.AddressFamily(family)]
        accept = self.accept if listens else None
        self.endpoint = await Endpoint.open(
            host, 0, family, self.reset, self.counters, accept, load, offload=offload, watched=watched
        )
        return self

    def accept(self, address: Address, original_id: bytes, retry_id: bytes, now: float) -> Receiver | None:
        if self.refuses:
            return None
        self.accepted.append((address, original_id, retry_id))
        self.receivers.append(Recorder())
        if self.registers:
            self.endpoint.register(retry_id or original_id, self.receivers[-1])
        return self.receivers[-1]

    async def counted(self, name: str, count: int = 1) -> None:
        """Wait until that much of something was counted."""
        await eventually(
            lambda: self.counters[name] >= count, f"{count} times {name}: {self.counters.snapshot()}"
        )


class Stranger:
    """A plain UDP socket on ``own`` host, by default the same as it sends to. ``source`` is who answered last."""

    def __init__(self, to: Address, own: str = "") -> None:
        self.to = to
        self.source: Address = ("", 0)
        self.socket = socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((own or to[0], 0))
        self.name: Address = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *datagrams: bytes) -> None:
        for each in datagrams:
            self.socket.sendto(each, self.to)

    async def receive(self) -> bytes:
        """The next answer."""
        found: list[bytes] = []

        def came() -> bool:
            try:
                data, self.source = self.socket.recvfrom(65536)
            except BlockingIOError:
                return False
            found.append(data)
            return True

        await eventually(came, "an answer")
        return found[0]

    def answers(self) -> list[bytes]:
        """All that has come by now."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536))
            except BlockingIOError:
                return found

    async def ask(self, datagram: bytes) -> bytes:
        self.send(datagram)
        return await self.receive()


def initial(
    destination_id: bytes = b"original", source_id: bytes = b"client", token: bytes = b"", size: int = 1200
) -> bytes:
    """A datagram that is an Initial packet, as far as is in the clear."""
    header = Initial(0xC3, destination_id, source_id, token, 0).encode()
    rest = size - len(header) - 1
    return Initial(0xC3, destination_id, source_id, token, rest).encode() + os.urandom(rest)


def short(connection_id: bytes, size: int = 100) -> bytes:
    """A packet with a short header."""
    return b"\x5a" + connection_id + os.urandom(size - 1 - len(connection_id))


def long(first: int, version: int, destination_id: bytes = b"12345678", size: int = 1200) -> bytes:
    """A packet with a long header of any version."""
    return LongHeader(first, version, destination_id, b"").encode().ljust(size, b"\0")


def read_retry(packet: bytes, original_id: bytes) -> tuple[Retry, bytes]:
    """A Retry whose integrity holds, and its token."""
    found = Retry.decode(packet)
    assert found.token_and_tag[-TAG_BYTES:] == integrity_tag(original_id, packet[:-TAG_BYTES])
    return found, found.token_and_tag[:-TAG_BYTES]
