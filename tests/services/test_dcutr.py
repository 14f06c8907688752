"""From a connection through a relay to a direct one, on loopback: who starts, what moves, what is kept of failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.codecs.dcutr import HolePunch, PunchType
from mesh.errors import StreamReset
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.protocols.dcutr import ATTEMPTS, MAX_MESSAGE_BYTES, PROTOCOL, Punch
from mesh.protocols.machine import Role
from mesh.services import dcutr
from mesh.services.dcutr import HolePunching
from tests.network.live import QUIC, TCP, Nodes, eventually, exchange, identified
from tests.services.relay.network import LOUD, client_of, dial_through, echo

CLOSED = "/ip4/127.0.0.1/tcp/1"
SETTINGS: dict[str, Any] = {"hole_punching": True, "private_addresses": True, "autonat_ask": False}


def punching_of(node: Node) -> HolePunching:
    assert node.hole_punching is not None
    return node.hole_punching


async def relay_node(nodes: Nodes, listen: str = TCP, **settings: Any) -> Node:
    return await nodes.start(listen, relay_serve=True, **settings)


async def puncher(
    nodes: Nodes, relay: Node, listen: str = TCP, *, target: bool = False, **settings: Any
) -> Node:
    """A node that the relay has told its address; a target is reached through it."""
    where = str(relay.listen_addrs[0])
    chosen = {**SETTINGS, **settings}
    node = await nodes.start(listen, relays=(where,) if target else (), **chosen)
    node.handle(LOUD, echo, limited=True)
    await identified(await node.connect(where))
    if target:
        await eventually(lambda: client_of(node).held, "the reservation")
    return node


def direct(node: Node, peer: Node) -> Connection | None:
    return node.swarm.connection_to(peer.peer_id, direct=True)


@pytest.mark.parametrize("listen", [TCP, QUIC], ids=["tcp", "quic"])
@pytest.mark.parametrize("limited", [True, False], ids=["limited", "unlimited"])
async def test_a_relayed_connection_becomes_a_direct_one(
    nodes: Nodes, listen: str, limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, Any] = {} if limited else {"circuit_s": 0.0, "circuit_bytes": 0}
    relay = await relay_node(nodes, listen, **limits)
    target = await puncher(nodes, relay, listen, target=True)
    source = await puncher(nodes, relay, listen)
    monkeypatch.setattr(punching_of(target), "_known", lambda _peer: ())
    relayed = await dial_through(source, target)
    await eventually(lambda: direct(source, target) and direct(target, source), "the direct connection")
    found, back = direct(source, target), direct(target, source)
    assert found is not None
    assert back is not None
    assert not found.inbound
    assert back.inbound
    assert found.remote == back.local
    assert found.limited is None
    transport = "quic" if listen == QUIC else "tcp"
    await eventually(lambda: punching_of(target).reports and punching_of(source).reports, "the reports")
    assert (found.punched, back.punched) == (True, True)
    started, answered = punching_of(target).reports[-1], punching_of(source).reports[-1]
    assert (started.transport, started.cause, started.started) == (transport, "", True)
    assert (answered.transport, answered.cause, answered.started) == (transport, "", False)
    stream = await source.open(target.peer_id, "/echo/1.0.0")
    assert stream.connection is found
    assert await exchange(stream, b"over the direct one") == b"over the direct one"
    await stream.close()
    await relayed.ended()
    assert direct(source, target) is found


async def test_an_open_stream_keeps_the_relayed_connection_until_its_end(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcutr, "DRAIN_S", 0.01)
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True, hole_punching=False)
    source = await puncher(nodes, relay)
    relayed = await dial_through(source, target)
    stream = await relayed.open([LOUD], allow_limited=True)
    assert await exchange(stream, b"before") == b"before"
    await source.swarm.dial(
        target.peer_id, [each for each in target.listen_addrs if not each.has("p2p-circuit")]
    )
    assert await exchange(stream, b"after") == b"after"
    assert source.counters["dcutr.relayed:closed"] == 0
    await stream.close()
    await relayed.ended()
    assert source.counters["dcutr.relayed:closed"] == 1


async def test_who_came_in_before_the_attempt_began_was_punched(nodes: Nodes) -> None:
    one, other = [await nodes.start(TCP, **SETTINGS) for _ in range(2)]
    connection = await one.connect(str(other.listen_addrs[0]))
    at_once = Punch((), Role.RESPONDER, 0.0)
    assert await punching_of(one)._try(other.peer_id, False, 0, at_once)
    assert not connection.punched
    assert await punching_of(one)._try(other.peer_id, False, 1, at_once)
    assert connection.punched


async def test_a_known_public_address_is_dialled_first(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True)
    source = await puncher(nodes, relay)
    await dial_through(source, target)
    await eventually(lambda: punching_of(target).reports, "a report")
    [report] = punching_of(target).reports
    assert (report.attempt, report.transport, report.addresses) == (0, "tcp", tuple(source.listening))
    assert not direct(target, source).punched  # type: ignore[union-attr]


async def test_a_failed_punch_keeps_the_cause_of_each_attempt(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcutr, "PUNCH_S", 0.2)
    monkeypatch.setattr(dcutr, "PLAIN_S", 0.2)
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True)
    source = await puncher(nodes, relay, announce=(CLOSED,))
    monkeypatch.setattr(punching_of(source), "_outside", lambda: [Multiaddr.parse(CLOSED)])
    monkeypatch.setattr(punching_of(target), "_outside", lambda: [Multiaddr.parse(CLOSED)])
    relayed = await dial_through(source, target)
    await eventually(lambda: len(punching_of(target).reports) == ATTEMPTS + 1, "the reports")
    await eventually(lambda: len(punching_of(source).reports) == ATTEMPTS, "the other's reports")
    assert [each.attempt for each in punching_of(target).reports] == [0, 1, 2, 3]
    await eventually(lambda: target.counters["dcutr.stays_relayed"] == 1, "the word that it stays relayed")
    for report in [*punching_of(target).reports, *punching_of(source).reports]:
        assert report.transport == ""
        assert report.cause.startswith(f"{CLOSED}: Connection refused")
    assert not direct(source, target)
    stream = await relayed.open([LOUD], allow_limited=True)
    assert await exchange(stream, b"still") == b"still"


async def test_a_peer_that_began_anew_during_an_attempt_has_its_turn_after_it(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new relayed connection comes while the attempt over the old one is still under way."""
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True)
    punching, over = punching_of(target), asyncio.Event()
    attempt = punching._try

    async def held(*arguments: Any) -> bool:
        if over.is_set():
            return await attempt(*arguments)
        await over.wait()
        return False

    monkeypatch.setattr(punching, "_try", held)
    source = await puncher(nodes, relay)
    await dial_through(source, target)
    await eventually(lambda: punching.is_at(source.peer_id), "the attempt")
    await source.stop()
    await eventually(lambda: not target.swarm.is_connected(source.peer_id), "the end of the first connection")
    again = await puncher(nodes, relay, key=source.key)
    await dial_through(again, target)
    back = target.swarm.connection_to(again.peer_id)
    assert back is not None
    await identified(back)
    over.set()
    await eventually(lambda: direct(target, again), "the direct connection")


async def test_who_has_no_outside_address_says_so(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True)
    source = await puncher(nodes, relay, announce=("/ip4/127.0.0.1/tcp/9/ws",))
    monkeypatch.setattr(punching_of(target), "_outside", list)
    await dial_through(source, target)
    await eventually(lambda: punching_of(target).reports, "a report")
    assert punching_of(target).reports[0].cause == "no outside address of this node is known"


class Stranger:
    """A target that takes part by hand: it accepted the relayed connection, and is what the peer says to it."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def meet(self) -> tuple[Node, Connection]:
        """The node that was asked (the source), and the stranger's end of the relayed connection."""
        relay = await relay_node(self._nodes)
        stranger = await puncher(self._nodes, relay, target=True, hole_punching=False)
        source = await puncher(self._nodes, relay)
        await dial_through(source, stranger)
        await eventually(lambda: stranger.swarm.connection_to(source.peer_id), "the connection")
        connection = stranger.swarm.connection_to(source.peer_id)
        assert connection is not None
        await identified(connection)
        return source, connection


CONNECT = HolePunch(PunchType.CONNECT, [Multiaddr.parse(CLOSED).to_bytes()]).encode()


@pytest.mark.parametrize(
    "messages",
    [
        [HolePunch(PunchType.SYNC).encode()],
        [HolePunch(PunchType.CONNECT).encode()],
        [CONNECT, CONNECT],
        [b"\xff\xff"],
        [bytes(MAX_MESSAGE_BYTES + 1)],
    ],
    ids=["sync first", "no address", "connect twice", "garbage", "too long"],
)
async def test_a_wrong_exchange_is_reset(nodes: Nodes, messages: list[bytes]) -> None:
    source, connection = await Stranger(nodes).meet()
    stream = await connection.open([PROTOCOL], allow_limited=True)
    for number, message in enumerate(messages):
        if number:
            await stream.read_message(MAX_MESSAGE_BYTES)
        await stream.write_message(message)
    with pytest.raises(StreamReset):
        await stream.read_message(MAX_MESSAGE_BYTES)
    assert source.counters["dcutr.answerer:failed"] == 0


async def refused(connection: Connection) -> bool:
    """Whether an exchange gets no answer but a reset."""
    try:
        stream = await connection.open([PROTOCOL], allow_limited=True)
        await stream.write_message(CONNECT)
        await stream.read_message(MAX_MESSAGE_BYTES)
    except StreamReset:
        return True
    return False


async def test_nobody_else_may_ask(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await puncher(nodes, relay, target=True)
    source = await puncher(nodes, relay, hole_punching=False)
    for connection in (await dial_through(source, target), await source.connect(target.listen_addrs[0])):
        assert await refused(connection)
    assert not punching_of(target).reports


async def test_too_many_exchanges_are_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcutr, "PUNCH_S", 0.05)
    source, connection = await Stranger(nodes).meet()
    for _ in range(dcutr.MAX_EXCHANGES):
        stream = await connection.open([PROTOCOL], allow_limited=True)
        await stream.write_message(CONNECT)
        await stream.read_message(MAX_MESSAGE_BYTES)
        await stream.write_message(HolePunch(PunchType.SYNC).encode())
        await stream.close()
    assert await refused(connection)
    await eventually(
        lambda: source.counters["dcutr.answerer:failed"] >= 1, "the report of an attempt that went its way"
    )


async def test_it_is_off_unless_wanted(nodes: Nodes) -> None:
    node = await nodes.start()
    assert node.hole_punching is None
    assert PROTOCOL not in node.protocols
