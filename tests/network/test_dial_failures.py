"""What a failed dial says of each address: the stage it got to, the cause, and what that probably means."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.errors import Closed, DialError, DialFailure, LimitError, TimedOut, TurnedAway
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.dial_causes import failed_connect, failed_upgrade
from mesh.network.resolver import Resolver
from tests.network.live import Nodes

STRANGER = PeerId.from_public_key(PrivateKey.from_seed(b"d" * 32).public)
POSSIBLY = "it had sent nothing: possibly its connection limit, so try again later"


def address_of(listener: socket.socket) -> str:
    return f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """An address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield address_of(bound)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """An address that the system answers and nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address_of(listener)


@pytest.fixture(params=[False, True], ids=["end", "reset"])
async def hanging_up(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """An address where every connection is closed, or reset, as soon as it is there."""

    async def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.param:
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield address_of(server.sockets[0])


async def failures_of(nodes: Nodes, *addresses: str, **settings: Any) -> dict[str, DialFailure]:
    """What the dial of a stranger at these addresses tells of each."""
    client = await nodes.start("", **settings)
    with pytest.raises(DialError) as caught:
        async with asyncio.timeout(10):
            await client.connect(STRANGER, addresses)
    for failure in caught.value.failures:
        assert f"\n  {failure.address}: {failure.stage}: {failure.cause}" in str(caught.value)
    assert sorted(each.address for each in caught.value.failures) == sorted(addresses)
    return {each.address: each for each in caught.value.failures}


@pytest.mark.both_loops
async def test_refused_silent_and_the_wrong_peer_together(nodes: Nodes, refusing: str, silent: str) -> None:
    other = await nodes.start()
    wrong = str(other.swarm.listen_addresses[0])
    told = await failures_of(nodes, refusing, silent, wrong, address_timeout_s=0.3)
    assert (told[refusing].stage, told[refusing].cause) == (
        "connect",
        "Connection refused; nobody listens there",
    )
    assert told[silent].stage == "security negotiation"
    left = re.search(
        r"did not finish it within (\S+) s; it accepted the connection and sent nothing", told[silent].cause
    )
    assert left is not None, told[silent].cause
    assert 0 < float(left[1]) <= 0.3
    assert told[wrong].stage == "noise handshake"
    assert str(STRANGER) in told[wrong].cause
    assert str(other.peer_id) in told[wrong].cause


@pytest.mark.both_loops
async def test_a_good_address_among_bad_ones(nodes: Nodes, refusing: str, silent: str) -> None:
    good, other = await nodes.start(), await nodes.start()
    client = await nodes.start("")
    addresses = [refusing, silent, *map(str, (*other.swarm.listen_addresses, *good.swarm.listen_addresses))]
    async with asyncio.timeout(2):
        connection = await client.connect(good.peer_id, addresses)
    assert (connection.peer, connection.remote) == (good.peer_id, good.swarm.listen_addresses[0])
    assert client.counters.total("dial.failed") == 0


@pytest.mark.both_loops
async def test_an_end_before_the_first_byte(nodes: Nodes, hanging_up: str) -> None:
    told = await failures_of(nodes, hanging_up)
    assert told[hanging_up].stage in ("connect", "security negotiation")
    assert told[hanging_up].cause.endswith(f"; {POSSIBLY}")


async def test_an_end_after_the_first_byte_is_no_limit(nodes: Nodes) -> None:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x13/multistream/1.0.0\n")
        await reader.readuntil(b"/noise\n")
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        address = address_of(server.sockets[0])
        told = await failures_of(nodes, address)
    assert told[address].stage == "security negotiation"
    assert "possibly" not in told[address].cause


@pytest.mark.both_loops
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_a_refusal_that_its_reset_overtook(nodes: Nodes, reset: bool) -> None:
    """A peer without the protocol takes the handshake behind the proposal for nonsense, and its `na` is lost."""
    proposals: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x13/multistream/1.0.0\n")
        await reader.readexactly(20)
        proposals.append(await reader.readuntil(b"\n"))
        if len(proposals) == 2:
            writer.write(b"\x03na\n")
        if reset:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        address = address_of(server.sockets[0])
        told = await failures_of(nodes, address)
    assert proposals == [b"\x07/noise\n", b"\x0b/tls/1.0.0\n"]
    assert told[address].stage == "security negotiation"
    assert told[address].cause == "the peer supports none of /noise, /tls/1.0.0"


async def test_the_time_for_all_addresses_ends_while_some_are_under_way(nodes: Nodes, silent: str) -> None:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        addresses = [*map(address_of, listeners), silent]
        told = await failures_of(nodes, *addresses, dial_timeout_s=0.2)
    stages = Counter(told[each].stage for each in addresses)
    assert stages == {"security negotiation": 8, "waiting for its turn": 1}, "eight addresses go at a time"
    assert {each.cause for each in told.values()} == {
        "not finished when the 0.2 s for all addresses were over"
    }


async def test_a_name_that_does_not_resolve_in_time(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_self: Resolver, address: Multiaddr, _peer: object) -> list[Multiaddr]:
        if address.has("dns4"):
            await asyncio.Event().wait()
        return [address]

    monkeypatch.setattr(Resolver, "resolve", never)
    told = await failures_of(nodes, "/memory/1", "/dns4/a.example/tcp/1", dial_timeout_s=0.05)
    assert told["/dns4/a.example/tcp/1"].stage == "resolve"
    assert told["/memory/1"].stage == "waiting for its turn"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('192.0.2.1', 1)"),
            "Connection refused; nobody listens there",
        ),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), POSSIBLY),
        (OSError(errno.EMFILE, "Too many open files"), "(ulimit -n)"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
        (OSError(errno.ECONNREFUSED, "nobody listens at /memory/7"), "nobody listens at /memory/7"),
        (OSError("Multiple exceptions: refused, refused"), "Multiple exceptions: refused, refused"),
        (OSError(), "OSError"),
    ],
    ids=["refused", "reset", "descriptors", "unreachable", "memory", "several", "wordless"],
)
def test_causes_of_a_failed_connect(error: OSError, cause: str) -> None:
    assert failed_connect(error).endswith(cause)


def test_causes_of_a_failed_upgrade() -> None:
    stage = "security negotiation"
    limit = LimitError("node", "connections", 5, "network.max_connections")
    assert failed_upgrade(stage, limit, 0) == ("own limit", str(limit))
    assert failed_upgrade(stage, TurnedAway("reset"), 0) == (stage, f"reset; {POSSIBLY}")
    assert failed_upgrade(stage, Closed("closed"), 9) == (stage, "closed")
    assert failed_upgrade(stage, TimedOut("late"), 9) == (stage, "late")
    assert failed_upgrade(stage, TimedOut("late"), 0)[1].endswith("sent nothing")
