"""What relays and forwarders add to a round trip, and how long a session is still when the path in use fails.

All nodes are in this process. The opener reaches each relay through a link that can be cut (its connection ends) or
frozen (nothing passes any more, nothing ends).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

from mesh.apps.beam.beam import Beam
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.machine import Role
from tools.bench.beam_network import Network, echo_service, until

ROUND_TRIPS: Final = 500
FORWARDERS: Final = 3
DIAL_S: Final = 10.0
BEAT_S: Final = 0.01
"""Between two bytes of a session that is watched."""
PATIENCE_S: Final = 30.0
ECHO: Final = "/beam-bench/echo"
SERVICE: Final = "steady"


async def added_by_hops(round_trips: int = ROUND_TRIPS) -> dict[str, float]:
    """The median round trip of a byte with the same peer, in ms: direct, and what a relay and each of up to three
    forwarders of a chain add to it."""
    async with Network() as network:
        relay = await network.start(dht="off", serve=True, circuit_s=0, circuit_bytes=0)
        forwarders = [await network.start(dht="off", forward=True) for _ in range(FORWARDERS)]
        provider = await network.start(dht="off", relays=(str(relay.node.listen_addrs[0]),), always=True)
        opener = await network.start(dht="off")
        provider.node.handle(ECHO, _echo)
        await until(lambda: provider.node.swarm.circuits.relays)
        row = [opener, *forwarders, provider]
        for one, other in itertools.pairwise(row):
            await one.node.connect(other.node.listen_addrs[0])
        relayed = Multiaddr.parse(f"{relay.node.listen_addrs[0]}/p2p-circuit")
        ways: dict[str, Connection] = {
            "direct": await _dial(opener, provider, provider.node.listen_addrs[0].without_peer()),
            "relay": await _dial(opener, provider, relayed),
        }
        for count in range(1, FORWARDERS + 1):
            between = forwarders[-count:]
            await opener.node.connect(between[0].node.listen_addrs[0])
            peers = [each.node.peer_id for each in (*between, provider)]
            ways[f"chain_{count}"] = await opener.routing.chains.dial(peers)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        streams = {name: await each.open([ECHO]) for name, each in ways.items()}
        for _ in range(round_trips):
            for name, stream in streams.items():
                taken[name].append(await _round_trip_ms(stream))
        for stream in streams.values():
            stream.reset()
    found = {name: median(each) for name, each in taken.items()}
    hops = [(found[f"chain_{count}"] - found["direct"]) / count for count in range(1, FORWARDERS + 1)]
    return {
        "hop_direct": found["direct"],
        "hop_relay": found["relay"] - found["direct"],
        "hop_chain": max(hops),
        "hop_chain_whole": found[f"chain_{FORWARDERS}"] - found["direct"],
    }


async def stillness() -> dict[str, float]:
    """The longest time without a byte of one session, in ms: when the connection to the relay in use ends, and when it
    falls silent; another relay is left each time."""
    return {"path_closed": await _stillness(freeze=False), "path_silent": await _stillness(freeze=True)}


async def _stillness(freeze: bool) -> float:
    async with Network() as network, echo_service() as port:
        relays = [await network.start(dht="off", serve=True, circuit_s=0, circuit_bytes=0) for _ in range(2)]
        provider = await network.start(
            (), dht="off", relays=tuple(str(each.node.listen_addrs[0]) for each in relays), always=True
        )
        opener = await network.start((), dht="off")
        links: dict[PeerId, Link] = {}
        for each in relays:
            link = await network.enter_async_context(_link(int(each.node.listen_addrs[0].value("tcp") or 0)))
            links[each.node.peer_id] = link
            await opener.node.connect(f"/ip4/127.0.0.1/tcp/{link.port}/p2p/{each.node.peer_id}")
        await until(lambda: len(provider.node.swarm.circuits.relays) == len(relays))
        peer = provider.node.peer_id
        await provider.expose(SERVICE, port, public=True)
        await until(lambda: opener.table.get(f"{SERVICE}.local", peer))
        tunnel = await opener.open(SERVICE)
        reader, writer = await asyncio.open_connection(tunnel.host, tunnel.port)
        writer.write(b"x")
        await reader.readexactly(1)
        await until(lambda: max((len(each.streams) for each in opener.routing.sessions.own), default=0) > 1)
        current = opener.paths.describe(peer)
        relay = next(each for each in links if str(each) in current)
        longest_ms = await _longest_wait(reader, writer, links[relay], freeze)
        writer.close()
        return longest_ms


async def _longest_wait(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link, freeze: bool
) -> float:
    """Bytes one after the other, each waited for; after some the link fails, and some come again."""
    longest_s, passed, at = 0.0, 0, 20
    async with asyncio.timeout(PATIENCE_S):
        while passed < 2 * at:
            if passed == at:
                link.freeze() if freeze else link.cut()
            began = time.perf_counter()
            writer.write(b"x")
            await reader.readexactly(1)
            longest_s = max(longest_s, time.perf_counter() - began)
            passed += 1
            await asyncio.sleep(BEAT_S)
    return 1000 * longest_s


class Link:
    """A port that leads to another one."""

    def __init__(self) -> None:
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._carried: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        """Nothing passes any more."""
        self._open.clear()

    def cut(self) -> None:
        """Every connection ends."""
        for each in self._writers:
            each.transport.abort()

    async def close(self) -> None:
        self.cut()
        for each in self._carried:
            each.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def accept(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        self._writers += writer, far_writer
        for way in (self._pass(reader, far_writer), self._pass(far_reader, writer)):
            self._carried.add(asyncio.ensure_future(way))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def _link(target: int) -> AsyncIterator[Link]:
    link = Link()
    server = await asyncio.start_server(
        lambda reader, writer: link.accept(target, reader, writer), "127.0.0.1", 0
    )
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.close()


async def _dial(opener: Beam, provider: Beam, address: Multiaddr) -> Connection:
    return await opener.node.swarm.dial_as(provider.node.peer_id, address, Role.INITIATOR, DIAL_S)


async def _round_trip_ms(stream: Stream) -> float:
    began = time.perf_counter()
    await stream.write(b"x")
    await stream.read_chunk()
    return 1000 * (time.perf_counter() - began)


async def _echo(stream: Stream) -> None:
    while chunk := await stream.read_chunk():
        await stream.write(chunk)
