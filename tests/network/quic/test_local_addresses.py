"""A socket bound to all addresses answers from the one that was asked."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator

import pytest

from mesh.network.quic.datagrams import DatagramSocket, open_socket
from mesh.network.quic.engine import Address
from mesh.network.quic.local_addresses import MAX_PEERS, Ancillary, LocalAddresses
from tests.network.quic.strangers import Stranger
from tests.network.quic.test_datagrams import Recorder

pytestmark = pytest.mark.both_loops

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
INFO4 = (socket.IPPROTO_IP, 8)
INFO6 = (socket.IPPROTO_IPV6, 50)


@pytest.fixture
async def everywhere() -> AsyncIterator[tuple[DatagramSocket, Recorder]]:
    """A socket on all IPv4 addresses; what is sent to it comes from this machine alone."""
    sink = Recorder()
    made = await open_socket("0.0.0.0", 0, socket.AF_INET, sink)
    assert isinstance(made, DatagramSocket)
    yield made, sink
    made.close()


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.7.7.7"])
@pytest.mark.parametrize("count", [1, 3], ids=["single", "run"])
async def test_from_the_address_that_was_asked(
    everywhere: tuple[DatagramSocket, Recorder], host: str, count: int
) -> None:
    made, sink = everywhere
    with Stranger((host, made.name[1]), "127.0.0.1") as stranger:
        stranger.send(b"hello")
        await sink.until(lambda: sink.received)
        assert made.send([(b"answer", stranger.name)] * count)
        for _ in range(count):
            assert await stranger.receive() == b"answer"
            assert stranger.source == (host, made.name[1])


@linux
async def test_an_address_that_went_away(everywhere: tuple[DatagramSocket, Recorder]) -> None:
    """The system chooses again."""
    made, sink = everywhere
    assert made._locals is not None
    with Stranger(("127.0.0.1", made.name[1]), "127.0.0.1") as stranger:
        for batch in (1, 3):
            made._locals.note(stranger.name, (*INFO4, bytes(4) + socket.inet_aton("192.0.2.1") + bytes(4)))
            assert made.send([(b"x", stranger.name)] * batch)
            for _ in range(batch):
                assert await stranger.receive() == b"x"
            assert not len(made._locals)
    assert not sink.losses
    assert not sink.errors
    assert made.segments


@linux
async def test_over_ip6() -> None:
    sink = Recorder()
    made = await open_socket("::", 0, socket.AF_INET6, sink)
    assert isinstance(made, DatagramSocket)
    assert made._locals is not None
    with Stranger(("::1", made.name[1], 0, 0)) as stranger:
        stranger.send(b"hello")
        await sink.until(lambda: sink.received)
        assert made._locals.of(stranger.name)
        assert made.send([(b"answer", stranger.name)] * 3)
        for _ in range(3):
            assert await stranger.receive() == b"answer"
            assert stranger.source[:2] == ("::1", made.name[1])
        assert len(made._locals) == 1
    made.close()


async def test_only_where_it_is_bound_to_all() -> None:
    made = await open_socket("127.0.0.1", 0, socket.AF_INET, Recorder())
    assert isinstance(made, DatagramSocket)
    assert made._locals is None
    made.close()


def peer(number: int) -> Address:
    return "192.0.2.1", number


def test_it_is_bounded() -> None:
    known = LocalAddresses()
    for number in range(2 * MAX_PEERS):
        known.note(peer(number), (*INFO4, bytes(12)))
    assert len(known) == MAX_PEERS
    assert not known.of(peer(0))
    assert known.of(peer(2 * MAX_PEERS - 1))
    known.forget(peer(2 * MAX_PEERS - 1))
    known.forget(peer(2 * MAX_PEERS - 1))
    assert len(known) == MAX_PEERS - 1


@pytest.mark.parametrize(
    ("received", "sent"),
    [
        ((*INFO4, b"\3\0\0\0" + b"\xc0\0\2\1" * 2), b"\0" * 4 + b"\xc0\0\2\1" + b"\0" * 4),
        ((*INFO6, b"\x20\1" + bytes(14) + b"\3\0\0\0"), b"\x20\1" + bytes(18)),
        ((*INFO6, b"\xfe\x80" + bytes(14) + b"\3\0\0\0"), b"\xfe\x80" + bytes(14) + b"\3\0\0\0"),
        ((*INFO6, b"\xff\2" + bytes(14) + b"\3\0\0\0"), None),
        ((*INFO4, b"short"), None),
        ((99, 1, bytes(12)), None),
    ],
    ids=["ip4", "ip6", "link-local", "multicast", "cut", "something else"],
)
def test_what_is_sent_back(received: Ancillary, sent: bytes | None) -> None:
    known = LocalAddresses()
    for _ in range(2):
        known.note(peer(1), received)
        assert known.of(peer(1)) == ([] if sent is None else [(*received[:2], sent)])
    known.note(peer(1), (*INFO4, b"\1" * 12))
    assert known.of(peer(1)) == [(*INFO4, bytes(4) + b"\1" * 4 + bytes(4))], "it was asked at another address"
