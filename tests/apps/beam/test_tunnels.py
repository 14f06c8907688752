"""Tunnels: bytes both ways, who may open one, what happens when a provider ends."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.exposures import Exposure, read_exposure
from mesh.apps.beam.tunnel_server import PROBE_PROTOCOL, TUNNEL_PROTOCOL
from mesh.codecs.beam import MAX_ANSWER_BYTES, Opening, TunnelAnswer, TunnelStatus
from mesh.errors import MeshError, UsageError
from mesh.protocols.beam.health import HEALTHY, UNHEALTHY
from tests.apps.beam.beams import Beams, exchange, tcp_service, until
from tests.network.live import QUIC, TCP


async def ask(opener: Beam, provider: Beam, protocol: str, service_id: str) -> TunnelStatus:
    """What a provider answers to an opening."""
    async with await opener.node.open(provider.node.peer_id, protocol) as stream:
        await stream.write_message(Opening(service_id=service_id).encode())
        answer = TunnelAnswer.decode(await stream.read_message(MAX_ANSWER_BYTES))
    return TunnelStatus(answer.status)


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [TCP, QUIC], ids=["tcp", "quic"])
async def test_bytes_arrive_whole_in_both_directions(beams: Beams, listen: str) -> None:
    data = random.Random(1).randbytes(3_000_000)
    one, two = await beams.network(2, listen=listen)
    async with tcp_service(b"hello ") as port:
        await one.expose("myapp", port, public=True)
        tunnel = await two.open("myapp")
        echoed = await exchange(tunnel.port, data)
        assert hashlib.sha256(echoed).digest() == hashlib.sha256(b"hello " + data).digest()
        await until(lambda: tunnel.tally.in_bytes == tunnel.tally.out_bytes + 6 == len(data) + 6)
        assert tunnel.document()["path"] == "direct"
        many = await asyncio.gather(*(exchange(tunnel.port, bytes([each]) * 1000) for each in range(20)))
        assert many == [b"hello " + bytes([each]) * 1000 for each in range(20)]
        await until(lambda: one.exposures.open == 0)
        await two.close_tunnel(tunnel.number)
        with pytest.raises(ConnectionRefusedError):
            await exchange(tunnel.port, b"x")


async def test_the_openers_id_is_checked_for_every_stream(beams: Beams) -> None:
    provider, friend, stranger = await beams.network(3)
    async with tcp_service(b"secret") as port:
        await provider.expose("myapp", port, allow=[friend.node.peer_id])
        await until(lambda: stranger.table.get("myapp.local", provider.node.peer_id))
        assert await exchange((await friend.open("myapp")).port, b"") == b"secret"
        tunnel = await stranger.open("myapp")
        with pytest.raises(ConnectionError):
            await exchange(tunnel.port, b"x")
        await until(lambda: "not allowed" in tunnel.cause)
        assert await ask(stranger, provider, TUNNEL_PROTOCOL, "myapp.local") == TunnelStatus.NOT_ALLOWED
        assert await ask(stranger, provider, PROBE_PROTOCOL, "myapp.local") == TunnelStatus.NOT_ALLOWED
        assert await ask(friend, provider, PROBE_PROTOCOL, "myapp.local") == TunnelStatus.OK
        assert await ask(friend, provider, TUNNEL_PROTOCOL, "other.local") == TunnelStatus.UNKNOWN_SERVICE
        await provider.expose("myapp", port, public=True)
        assert await ask(stranger, provider, PROBE_PROTOCOL, "myapp.local") == TunnelStatus.OK
        await provider.registry.withdraw("myapp.local")
        assert await ask(friend, provider, TUNNEL_PROTOCOL, "myapp.local") == TunnelStatus.UNKNOWN_SERVICE
    assert provider.server.refused == 4


async def test_a_service_that_takes_no_connections(beams: Beams) -> None:
    one, two = await beams.network(2)
    async with tcp_service() as port:
        await one.expose("myapp", port, public=True)
    tunnel = await two.open("myapp")
    with pytest.raises(MeshError, match="unavailable"):
        await tunnel.reach()
    assert await ask(two, one, PROBE_PROTOCOL, "myapp.local") == TunnelStatus.UNAVAILABLE


async def test_too_many_connections(beams: Beams) -> None:
    one, two = await beams.network(2, max_tunnels_per_peer=2)
    async with tcp_service(b"!") as port:
        await one.expose("myapp", port, public=True)
        tunnel = await two.open("myapp")
        held = [await tunnel.reach() for _ in range(2)]
        with pytest.raises(MeshError, match="busy"):
            await tunnel.reach()
        for stream in held:
            stream.reset()
        await until(lambda: one.exposures.open == 0)
        assert await exchange(tunnel.port, b"") == b"!"


async def test_the_other_provider_serves_when_one_ends(beams: Beams) -> None:
    first, one, two, client = await beams.network(4)
    async with tcp_service(b"one") as port_of_one, tcp_service(b"two") as port_of_two:
        await one.expose("myapp", port_of_one, public=True)
        await one.names.allow("myapp", two.node.peer_id)
        await two.expose("myapp", port_of_two, public=True)
        await until(lambda: len(client.table.providers("myapp.local", client.started_s)) == 2)
        tunnel = await client.open("myapp")
        said = await exchange(tunnel.port, b"")
        gone, left = (one, b"two") if said == b"one" else (two, b"one")
        gone_id = gone.node.peer_id
        await gone.node.stop()
        assert await exchange(tunnel.port, b"") == left
        assert tunnel.provider != gone_id
        await until(lambda: client.watchman.health("myapp.local", gone_id).consecutive_failures)
    assert first.server.opened == 0


async def test_a_provider_that_is_silent_gives_its_turn_away(beams: Beams) -> None:
    silent, good, client = await beams.network(3)
    async with tcp_service(b"good") as port:
        await silent.expose("a.service", port, public=True)
        await good.expose("a.service", port, public=True)
        await until(lambda: len(client.table.providers("a.service", client.started_s)) == 2)
        silent.server.stop()
        held = asyncio.Event()

        async def say_nothing(*_: object) -> None:
            await held.wait()

        silent.node.handle(TUNNEL_PROTOCOL, say_nothing)
        silent.node.handle(PROBE_PROTOCOL, say_nothing)
        silent.routing.sessions.serve(TUNNEL_PROTOCOL, say_nothing)
        client.watchman.health("a.service", silent.node.peer_id).answered(0.000001, client.started_s)
        tunnel = await client.open("a.service")
        assert await exchange(tunnel.port, b"") == b"good"
        assert tunnel.failovers == 1
        assert await exchange(tunnel.port, b"") == b"good"
        assert tunnel.failovers == 1, "the one that failed is asked last from then on"
        held.set()


async def test_probes_find_who_does_not_serve_any_more(beams: Beams) -> None:
    one, two = await beams.network(2, probe_s=0.05)
    async with tcp_service() as port:
        await one.expose("myapp", port, public=True)
        await two.open("myapp")
        await until(lambda: two.watchman.health("myapp.local", one.node.peer_id).probes > 3)
        assert two.watchman.health("myapp.local", one.node.peer_id).status == HEALTHY
    await until(lambda: two.watchman.health("myapp.local", one.node.peer_id).status == UNHEALTHY)
    assert two.watchman.health("myapp.local", one.node.peer_id).consecutive_failures >= 3


async def test_a_connection_under_way_ends_with_its_provider_and_not_in_order(beams: Beams) -> None:
    one, two = await beams.network(2)
    async with tcp_service(b"!") as port:
        await one.expose("myapp", port, public=True)
        tunnel = await two.open("myapp")
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        assert await reader.readexactly(1) == b"!"
        await beams.end(one)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_nobody_is_let_in_by_silence(beams: Beams) -> None:
    one = await beams.beam()
    with pytest.raises(UsageError, match="--allow"):
        await one.expose("myapp", 80)
    with pytest.raises(UsageError, match="--allow"):
        await one.expose("myapp", 80, public=True, allow=[one.node.peer_id])
    with pytest.raises(UsageError, match="port"):
        await one.expose("myapp", 0, public=True)


def test_a_damaged_exposure_is_none() -> None:
    whole = Exposure("a", "127.0.0.1", 80, True, frozenset()).document()
    assert read_exposure("a", whole) is not None
    for broken in ({}, whole | {"port": "x"}, whole | {"public": False}, whole | {"allow": ["nobody"]}):
        assert read_exposure("a", broken) is None
