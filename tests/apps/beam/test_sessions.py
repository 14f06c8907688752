"""Sessions on live nodes: bytes over several connections, what happens when one ends, who is refused."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.session_end import SessionEnd
from mesh.apps.beam.sessions import MAX_SESSIONS_OF_PEER, SESSION_PROTOCOL
from mesh.apps.beam.tunnel_server import TUNNEL_PROTOCOL
from mesh.codecs.beam_session import (
    MAX_ANSWER_BYTES,
    SessionAnswer,
    SessionFrame,
    SessionOpening,
    SessionStatus,
)
from mesh.config import BeamSection, Config, KademliaSection, NetworkSection, RelaySection
from mesh.errors import Closed, MeshError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.protocols.beam.path_choice import DIRECT, PathKey
from mesh.protocols.machine import Role
from tests.apps.beam.beams import Beams, exchange, join, tcp_service, until
from tests.network.live import PATIENCE_S, QUIC, TCP, configured

ECHO = "/echo-session"


async def echo(end: SessionEnd, _peer: PeerId) -> None:
    while chunk := await end.read_chunk():
        await end.write(chunk)
    await end.close_write()


async def another_connection(opener: Beam, provider: Beam) -> Connection:
    """A second direct connection."""
    return await opener.node.swarm.dial_as(
        provider.node.peer_id, provider.node.listen_addrs[0].without_peer(), Role.INITIATOR, PATIENCE_S
    )


async def send_and_read(end: SessionEnd, data: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        reading = group.create_task(end.read_all(len(data)))
        await end.write(data)
        await end.close_write()
    await end.close()
    return reading.result()


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [TCP, QUIC], ids=["tcp", "quic"])
async def test_bytes_survive_the_end_of_connections(beams: Beams, listen: str) -> None:
    provider, opener = await beams.network(2, listen=listen)
    provider.routing.sessions.serve(ECHO, echo)
    first = opener.node.swarm.connection_to(provider.node.peer_id)
    assert first is not None
    second = await another_connection(opener, provider)
    lost: list[str] = []
    end = await opener.routing.sessions.open(first, ECHO)
    end.on_path_lost = lambda _end, _path, reason: lost.append(reason)
    await opener.routing.sessions.join(end, second)
    data = random.Random(1).randbytes(8_000_000)

    async def cut() -> None:
        await until(lambda: end.session.incoming.received > 500_000)
        first.abort(Closed("cut by the test"))
        third = await another_connection(opener, provider)
        await opener.routing.sessions.join(end, third)
        await until(lambda: end.session.incoming.received > 4_000_000)
        second.abort(Closed("cut by the test"))

    cutting = asyncio.ensure_future(cut())
    try:
        got = await send_and_read(end, data)
    finally:
        await cutting
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert len(lost) == 2
    await until(lambda: provider.routing.sessions.inbound == 0)


async def test_both_of_two_paths_carry(beams: Beams) -> None:
    provider, opener = await beams.network(2, listen=TCP)
    provider.routing.sessions.serve(ECHO, echo)
    first = opener.node.swarm.connection_to(provider.node.peer_id)
    assert first is not None
    second = await another_connection(opener, provider)
    end = await opener.routing.sessions.open(first, ECHO)
    path = await opener.routing.sessions.join(end, second)
    end.carry_by({1, path})
    before = [each.driver.sent_bytes for each in (first, second)]
    data = random.Random(2).randbytes(6_000_000)
    assert await send_and_read(end, data) == data
    after = [each.driver.sent_bytes for each in (first, second)]
    assert all(later - earlier > 100_000 for earlier, later in zip(before, after, strict=True))


async def test_a_tunnel_goes_in_a_session_and_plainly_where_there_is_none(beams: Beams) -> None:
    provider, opener = await beams.network(2)
    async with tcp_service(b"hello ") as port:
        await provider.expose("myapp", port, public=True)
        tunnel = await opener.open("myapp")
        assert await exchange(tunnel.port, b"x") == b"hello x"
        assert provider.node.counters["beam.session:opened"] == 1
        assert opener.paths.describe(provider.node.peer_id) == "direct"
        assert [each["path"] for each in opener.routing.documents()] == ["direct"]
        await until(lambda: opener.routing.sessions.own == () and provider.routing.sessions.inbound == 0)
        provider.routing.sessions.stop()
        connection = opener.node.swarm.connection_to(provider.node.peer_id)
        assert connection is not None
        await until(lambda: SESSION_PROTOCOL not in (connection.remote_protocols or ()))
        assert await exchange(tunnel.port, b"y") == b"hello y"
        assert provider.node.counters["beam.session:opened"] == 1
        provider.routing.sessions.start()


async def ask(opener: Beam, provider: Beam, session_id: bytes, protocol: str) -> SessionStatus:
    """What is answered to an opening, whose stream is ended then."""
    stream = await opener.node.open(provider.node.peer_id, SESSION_PROTOCOL)
    await stream.write_message(SessionOpening(session_id=session_id, protocol=protocol).encode())
    answer = SessionAnswer.decode(await stream.read_message(MAX_ANSWER_BYTES))
    stream.reset()
    return SessionStatus(answer.status)


async def test_openings_that_are_refused(beams: Beams) -> None:
    provider, opener, stranger = await beams.network(3)
    provider.routing.sessions.serve(ECHO, echo)
    await stranger.node.connect(provider.node.listen_addrs[0])
    known = bytes(16)
    assert await ask(opener, provider, known, ECHO) == SessionStatus.OK
    assert await ask(opener, provider, known, ECHO) == SessionStatus.BUSY
    assert await ask(opener, provider, known, "") == SessionStatus.OK
    assert await ask(stranger, provider, known, "") == SessionStatus.UNKNOWN_SESSION
    assert await ask(opener, provider, b"short", ECHO) == SessionStatus.UNKNOWN_SESSION
    assert await ask(opener, provider, bytes(15) + b"1", "/other") == SessionStatus.UNKNOWN_PROTOCOL
    for number in range(1, MAX_SESSIONS_OF_PEER):
        assert await ask(opener, provider, number.to_bytes(16), ECHO) == SessionStatus.OK
    assert await ask(opener, provider, b"\xff" * 16, ECHO) == SessionStatus.BUSY
    assert await ask(stranger, provider, b"\xff" * 16, ECHO) == SessionStatus.OK
    assert provider.routing.sessions.refused == 5


async def test_a_frame_that_may_not_be_ends_its_session_alone(beams: Beams) -> None:
    provider, opener = await beams.network(2)
    provider.routing.sessions.serve(ECHO, echo)
    connection = opener.node.swarm.connection_to(provider.node.peer_id)
    assert connection is not None
    other = await opener.routing.sessions.open(connection, ECHO)
    stream = await opener.node.open(provider.node.peer_id, SESSION_PROTOCOL)
    await stream.write_message(SessionOpening(session_id=bytes(16), protocol=ECHO).encode())
    await stream.read_message(MAX_ANSWER_BYTES)
    await stream.write_message(SessionFrame(received=10**9, window=1).encode())
    async with asyncio.timeout(PATIENCE_S):
        while not SessionFrame.decode(await stream.read_message(40_000)).reset:
            pass
    stream.reset()
    assert await send_and_read(other, b"still here") == b"still here"
    assert connection.usable


@asynccontextmanager
async def relayed(beams: Beams, relays: int) -> AsyncIterator[tuple[list[Node], Beam, Beam]]:
    """Relays without limits, a provider that is reached through them alone, and an opener."""
    made = []
    for _ in range(relays):
        base = configured(TCP)
        limits = RelaySection(serve=True, circuit_bytes=0, circuit_s=0)
        node = Node(replace(base, relay=limits))
        beams.push_async_callback(node.stop)
        await node.start()
        made.append(node)
    section = BeamSection(enabled=True, query_s=0.3)
    ends = []
    for named in (tuple(str(each.listen_addrs[0]) for each in made), ()):
        config = Config(
            network=NetworkSection(listen=()),
            relay=RelaySection(relays=named),
            kademlia=KademliaSection(mode="off", prefix="/beam"),
            beam=section,
        )
        node = Node(config)
        beams.push_async_callback(node.stop)
        await node.start()
        beam = Beam(node, section)
        beams.push_async_callback(beam.stop)
        await beam.start()
        ends.append(beam)
    provider, opener = ends
    await until(lambda: len({each.value("tcp") for each in provider.node.listen_addrs}) == relays)
    yield made, provider, opener


async def test_a_download_goes_on_when_the_relay_in_use_ends(beams: Beams) -> None:
    async with relayed(beams, 2) as (relays, provider, opener), tcp_service() as port:
        await opener.node.connect(provider.node.listen_addrs[0])
        await until(lambda: provider.node.peer_id in opener.gossip.neighbours.peers())
        await provider.expose("myapp", port, public=True)
        await until(lambda: opener.table.get("myapp.local", provider.node.peer_id))
        tunnel = await opener.open("myapp")
        data = random.Random(3).randbytes(20_000_000)
        peer = provider.node.peer_id

        async def kill() -> str:
            await until(lambda: tunnel.tally.in_bytes > 1_000_000)
            await until(lambda: any(len(each.streams) == 2 for each in opener.routing.sessions.own))
            chosen = opener.paths.describe(peer)
            relay = next(each for each in relays if str(each.peer_id) in chosen)
            await relay.stop()
            return chosen

        killing = asyncio.ensure_future(kill())
        got = await exchange(tunnel.port, data)
        before = await killing
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
        assert before.startswith("relayed by")
        switch = opener.routing.switches(peer)[-1]
        assert str(switch.before) == before != str(switch.after)
        assert "was lost" in switch.reason or "there no more" in switch.reason
        told = opener.routing.changes()[0]
        assert (told["before"], told["after"]) == (before, str(switch.after))
        chosen = [each for each in opener.routing.documents() if each["chosen"]]
        assert [each["path"] for each in chosen] == [str(switch.after)]
        assert chosen[0]["score_repository"] - chosen[0]["score"] == pytest.approx(0.1, abs=0.001)


async def test_a_direct_connection_is_preferred_to_a_relayed_one(beams: Beams) -> None:
    provider, opener = await beams.network(2, listen=TCP)
    await join(opener, provider)
    stream = await opener.paths.open(provider.node.peer_id, (), TUNNEL_PROTOCOL)
    assert opener.routing.switches(provider.node.peer_id)[0].after == PathKey(DIRECT)
    stream.reset()
    with pytest.raises(MeshError):
        await stream.write(b"x")
