"""The UDP socket on loopback: everything arrives, with offload and without, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from mesh.network.quic import datagrams, udp_options
from mesh.network.quic.datagram_transport import TransportSocket
from mesh.network.quic.datagrams import DatagramSocket, UdpSocket, open_socket
from mesh.network.quic.engine import Address
from tests.network.live import PATIENCE_S

pytestmark = pytest.mark.both_loops

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


class Recorder:
    """What came, one by one, and a way to wait for it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.segments: list[int] = []
        self.sources: set[Address] = set()
        self.errors: list[tuple[Address, OSError]] = []
        self.losses: Counter[str] = Counter()
        self.settled = self.resumed = 0
        self.changed = asyncio.Event()

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        parts = [buffer[at : at + segment_bytes] for at in range(0, len(buffer), segment_bytes)]
        self.received += parts
        self.segments.append(len(parts))
        self.sources.add(address)

    def settle(self) -> None:
        self.settled += 1
        self.changed.set()

    def unreachable(self, address: Address, error: OSError) -> None:
        self.errors.append((address, error))
        self.changed.set()

    def writable(self) -> None:
        self.resumed += 1
        self.changed.set()

    def lost(self, why: str, count: int) -> None:
        self.losses[why] += count
        self.changed.set()

    async def until(self, condition: object) -> None:
        """Wait until the callable ``condition`` holds."""
        assert callable(condition)
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Pair:
    """Two sockets and their recorders."""

    def __init__(self) -> None:
        self.sinks = Recorder(), Recorder()
        self.sockets: list[UdpSocket] = []

    async def open(self, family: int, *, offload: bool = True, watched: bool = True) -> None:
        for sink in self.sinks:
            self.sockets.append(
                await open_socket(
                    HOSTS[socket.AddressFamily(family)], 0, family, sink, offload=offload, watched=watched
                )
            )


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    for each in made.sockets:
        each.close()
        each.close()


def numbered(count: int, size: int) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


@pytest.mark.parametrize("family", HOSTS, ids=["ip4", "ip6"])
@pytest.mark.parametrize(
    ("offload", "watched"),
    [(True, True), (False, True), (False, False)],
    ids=["offload", "single", "transport"],
)
async def test_all_arrives_in_order(pair: Pair, family: int, offload: bool, watched: bool) -> None:
    await pair.open(family, offload=offload, watched=watched)
    sender, receiver = pair.sockets
    _, sink = pair.sinks
    payloads = [*numbered(150, 1200), b"short", *numbered(3, 900), *numbered(2, 1400), b"x", b"y"]
    for at in range(0, len(payloads), 40):
        assert sender.send([(each, receiver.name) for each in payloads[at : at + 40]])
        await sink.until(lambda at=at: len(sink.received) >= min(at + 40, len(payloads)))
    assert sink.received == payloads
    assert sink.sources == {sender.name}
    assert sink.settled
    if offload and sys.platform == "linux":
        assert max(sink.segments) > 1, "nothing was joined"
    else:
        assert set(sink.segments) == {1}


async def test_kinds_of_sockets(pair: Pair) -> None:
    await pair.open(socket.AF_INET, offload=False)
    assert all(isinstance(each, DatagramSocket) and not each.segments for each in pair.sockets)
    await pair.open(socket.AF_INET, watched=False)
    assert all(isinstance(each, TransportSocket) for each in pair.sockets[2:])


async def test_a_loop_that_cannot_watch_sockets(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(datagrams, "Watch", cannot)
    await pair.open(socket.AF_INET)
    assert all(isinstance(each, TransportSocket) for each in pair.sockets)
    pair.sockets[0].send([(b"hello", pair.sockets[1].name)])
    await pair.sinks[1].until(lambda: pair.sinks[1].received == [b"hello"])


async def test_runs_end_where_they_must() -> None:
    def runs(*sizes: int, other: int | None = None) -> list[int]:
        batch = [(bytes(size), ("127.0.0.1", 2 if at == other else 1)) for at, size in enumerate(sizes)]
        found, at = [], 0
        while at < len(batch):
            stop = datagrams._run_end(batch, at)
            found.append(stop - at)
            at = stop
        return found

    assert runs(5) == [1]
    assert runs(5, 5, 5) == [3]
    assert runs(5, 5, 3, 3) == [3, 1]
    assert runs(5, 6, 6) == [1, 2]
    assert runs(5, 5, 5, other=1) == [1, 1, 1]
    assert runs(*[9] * 130) == [64, 64, 2]
    assert runs(*[1452] * 50) == [45, 5]
    assert runs(*[40_000] * 2) == [1, 1]
    assert runs(70_000, 5) == [1, 1]
    assert runs(5, 0, 5) == [1, 1, 1]


@linux
@pytest.mark.parametrize("family", HOSTS, ids=["ip4", "ip6"])
async def test_a_closed_port_is_told_and_others_go_on(pair: Pair, family: int) -> None:
    await pair.open(family)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    closed = await closed_port(family)
    for number in range(3):
        sender.send([(b"anyone?", closed)])
        await sink.until(lambda number=number: len(sink.errors) > number)
        sender.send([(b"still here", receiver.name)])
        receiver.send([(b"and back", sender.name)])
        await other.until(lambda number=number: len(other.received) > number)
        await sink.until(lambda number=number: len(sink.received) > number)
    assert {(address[:2], error.errno) for address, error in sink.errors} == {
        (closed[:2], errno.ECONNREFUSED)
    }
    assert not other.errors


@linux
async def test_a_pending_error_of_one_address_does_not_cost_another_its_datagram(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    closed = await closed_port(socket.AF_INET)
    for number in range(20):
        assert sender.send([(b"anyone?", closed), (number.to_bytes(1, "big") * 9, receiver.name)])
        assert sender.send([(b"run", receiver.name)] * 3)
    await other.until(lambda: len(other.received) == 80)
    assert sink.errors
    assert not sink.losses


async def test_too_large_is_dropped_silently(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    assert sender.send(
        [(bytes(65_508), receiver.name), (bytes(70_000), receiver.name), (b"small", receiver.name)]
    )
    await other.until(lambda: other.received == [b"small"])
    assert sum(sink.losses.values()) == sink.losses["too large"] > 0
    assert not sink.errors


class Refusing:
    """A socket whose kernel or interface refuses segments, for ``number``, and datagrams of more than ``most``."""

    def __init__(
        self, inner: socket.socket, number: int, most: int = 65_507, other: int = errno.EMSGSIZE
    ) -> None:
        self._inner = inner
        self._number = number
        self._most = most
        self._other = other

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def sendmsg(self, *_: object) -> int:
        raise OSError(self._number, "refused")

    def sendto(self, data: bytes, address: Address) -> int:
        if len(data) > self._most:
            raise OSError(self._other, "refused")
        return self._inner.sendto(data, address)


@pytest.mark.parametrize(
    ("number", "most", "passed", "kept"),
    [
        (errno.EIO, 65_507, 4, False),
        (errno.EINVAL, 65_507, 4, False),
        (errno.EINVAL, 10, 1, True),
        (errno.EMSGSIZE, 10, 1, True),
    ],
)
async def test_refused_segments(pair: Pair, number: int, most: int, passed: int, kept: bool) -> None:
    """They leave one by one, and segments are given up unless it was for the size of the datagrams."""
    await pair.open(socket.AF_INET)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    assert isinstance(sender, DatagramSocket)
    sender.segments = True
    sender._socket = Refusing(sender._socket, number, most)  # type: ignore[assignment]
    assert sender.send([(bytes(100), receiver.name)] * 3 + [(bytes(10), receiver.name)])
    await other.until(lambda: len(other.received) == passed)
    assert sink.losses["too large"] == 4 - passed
    assert sender.segments is kept


@pytest.mark.parametrize(
    ("number", "why", "told"),
    [(errno.ENETUNREACH, "unreachable", 2), (errno.ENOBUFS, "no memory", 0)],
    ids=["unreachable", "no memory"],
)
async def test_what_the_system_refuses(pair: Pair, number: int, why: str, told: int) -> None:
    """It is dropped, a run as a whole, and told if it is about the address."""
    await pair.open(socket.AF_INET)
    (sender, receiver), (sink, _) = pair.sockets, pair.sinks
    assert isinstance(sender, DatagramSocket)
    sender.segments = True
    sender._socket = Refusing(sender._socket, number, -1, number)  # type: ignore[assignment]
    assert sender.send([(bytes(100), receiver.name)] * 3)
    assert sender.send([(bytes(100), receiver.name)])
    assert sink.losses == {why: 4}
    assert [(address, error.errno) for address, error in sink.errors] == [(receiver.name, number)] * told
    assert sender.segments


async def test_no_room_for_what_is_sent_apart(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    assert isinstance(sender, DatagramSocket)
    sender.segments = True
    sender._socket = full = Full(sender._socket, errno.EIO)  # type: ignore[assignment]
    full.room = 2
    batch = [(bytes((number,)) * 9, receiver.name) for number in range(5)]
    assert not sender.send(batch)
    assert len(sender._waiting) == 3
    full.room = 9
    await other.until(lambda: len(other.received) == 5)
    assert other.received == [data for data, _ in batch]
    assert not sender.segments
    assert not sink.losses


class Full(Refusing):
    """A socket without room until ``room`` is given."""

    def __init__(self, inner: socket.socket, number: int = errno.EAGAIN) -> None:
        super().__init__(inner, number)
        self.room = 0

    def sendto(self, data: bytes, address: Address) -> int:
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.room -= 1
        return self._inner.sendto(data, address)


@pytest.mark.parametrize("epoll", [True, False], ids=["epoll", "none"])
async def test_no_room_in_the_kernel(pair: Pair, monkeypatch: pytest.MonkeyPatch, epoll: bool) -> None:
    if not epoll:
        monkeypatch.delattr(select, "epoll", raising=False)
    await pair.open(socket.AF_INET, offload=False)
    (sender, receiver), (sink, other) = pair.sockets, pair.sinks
    assert isinstance(sender, DatagramSocket)
    sender._socket = full = Full(sender._socket)  # type: ignore[assignment]
    full.room = 2
    batch = [(bytes((number,)), receiver.name) for number in range(6)]
    assert not sender.send(batch[:5])
    assert sender.blocked
    assert not sender.send(batch[5:]), "order is kept: nothing overtakes what waits"
    assert len(sender._waiting) == 4
    full.room = 3
    await other.until(lambda: len(other.received) == 5)
    assert sender.blocked
    assert not sink.resumed
    full.room = 100
    await sink.until(lambda: sink.resumed)
    await other.until(lambda: len(other.received) == 6)
    assert other.received == [data for data, _ in batch]
    assert not sender.blocked
    assert sink.resumed == 1
    assert sender.send(batch)


async def test_without_room_the_transport_says_so(pair: Pair) -> None:
    await pair.open(socket.AF_INET, watched=False)
    sender, receiver = pair.sockets
    assert isinstance(sender, TransportSocket)
    sender.pause_writing()
    assert sender.blocked
    assert not sender.send([(b"x", receiver.name)])
    sender.resume_writing()
    assert not sender.blocked
    assert pair.sinks[0].resumed == 1
    sender._transport = SimpleNamespace(get_write_buffer_size=lambda: 2**30, abort=sender._transport.abort)
    sender.pause_writing()
    assert not sender.send([(b"x", receiver.name)] * 3)
    sender.error_received(OSError(errno.EMSGSIZE, "too long"))
    assert pair.sinks[0].losses == {"too many wait": 3, "refused by the system": 1}
    sender.close()
    sender.resume_writing()
    assert pair.sinks[0].resumed == 1


async def test_what_waits_is_bounded(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    sender, receiver = pair.sockets
    assert isinstance(sender, DatagramSocket)
    sender._socket = Full(sender._socket)  # type: ignore[assignment]
    for _ in range(3):
        assert not sender.send([(bytes(100), receiver.name)] * (datagrams.MAX_WAITING // 2))
    assert len(sender._waiting) == datagrams.MAX_WAITING
    assert pair.sinks[0].losses == {"too many wait": datagrams.MAX_WAITING // 2}


async def test_a_wake_up_reads_so_much_and_no_more(pair: Pair) -> None:
    await pair.open(socket.AF_INET, offload=False)
    (sender, receiver), (_, other) = pair.sockets, pair.sinks
    sender.send([(bytes(10), receiver.name)] * 100)
    await other.until(lambda: other.received)
    assert len(other.received) <= datagrams.READS_PER_WAKE
    await other.until(lambda: len(other.received) == 100)
    assert other.settled >= 100 / datagrams.READS_PER_WAKE


async def test_empty_datagrams_are_ignored(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"", pair.sockets[0].name)
        stranger.sendto(b"x", pair.sockets[0].name)
    await pair.sinks[0].until(lambda: pair.sinks[0].received)
    assert pair.sinks[0].received == [b"x"]


async def test_a_closed_socket_sends_nothing_and_says_so_to_nobody(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    await pair.open(socket.AF_INET, watched=False)
    for sender in pair.sockets[::2]:
        sender.close()
        assert sender.send([(b"x", pair.sockets[1].name)])
        assert not sender.blocked


async def test_a_port_in_use(pair: Pair) -> None:
    await pair.open(socket.AF_INET)
    with pytest.raises(OSError, match="in use") as raised:
        await open_socket("127.0.0.1", pair.sockets[0].name[1], socket.AF_INET, pair.sinks[0])
    assert raised.value.errno == errno.EADDRINUSE


async def test_what_the_socket_was_told(pair: Pair) -> None:
    sock = await udp_options.bind("::1", 0, socket.AF_UNSPEC)
    with sock:
        assert sock.family == socket.AF_INET6
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 200_000
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_IPV6, 23) == 3


async def test_a_system_without_all_that(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_options, "sys", SimpleNamespace(platform="another"))
    await pair.open(socket.AF_INET)
    sender, receiver = pair.sockets
    assert isinstance(sender, DatagramSocket)
    assert (sender.segments, sender.coalesces, sender._errors) == (False, False, False)
    assert sender.send([(b"one", receiver.name), (b"two", receiver.name)])
    await pair.sinks[1].until(lambda: pair.sinks[1].received == [b"one", b"two"])


async def test_a_kernel_without_all_that(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows none of the options."""
    for name in ("UDP_SEGMENT", "UDP_GRO"):
        monkeypatch.setattr(udp_options, name, 32_000)
    for name in ("_NO_FRAGMENTS", "_REPORT_ERRORS"):
        monkeypatch.setattr(
            udp_options, name, {(sys.platform, socket.AF_INET): (socket.IPPROTO_IP, 32_000, 1)}
        )
    await pair.open(socket.AF_INET)
    assert isinstance(pair.sockets[0], DatagramSocket)
    assert (pair.sockets[0].segments, pair.sockets[0].coalesces, pair.sockets[0]._errors) == (
        False,
        False,
        False,
    )


async def test_names_are_looked_up_by_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Loop:
        async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", port))]

    monkeypatch.setattr(udp_options, "asyncio", SimpleNamespace(get_running_loop=Loop))
    assert await udp_options.resolve("a.example", 9, socket.AF_INET) == (socket.AF_INET, ("192.0.2.1", 9))
    assert asked == ["a.example"]


async def test_addresses_are_read_without_a_lookup() -> None:
    assert await udp_options.resolve("127.0.0.1", 9, socket.AF_UNSPEC) == (socket.AF_INET, ("127.0.0.1", 9))
    assert await udp_options.resolve("::1", 9, socket.AF_INET6) == (socket.AF_INET6, ("::1", 9, 0, 0))
    index, name = socket.if_nameindex()[0]
    assert await udp_options.resolve(f"fe80::1%{name}", 9, socket.AF_UNSPEC) == (
        socket.AF_INET6,
        ("fe80::1", 9, 0, index),
    )


async def closed_port(family: int) -> Address:
    """An address at which nobody listens."""
    sock = await udp_options.bind(HOSTS[socket.AddressFamily(family)], 0, family)
    with sock:
        address: Address = sock.getsockname()
        return address
