"""`python -m mesh.development.beam_party ROLE …`: one process of Beam's demonstration. Each line that it says is JSON.

`meeting LISTEN`: a node of the DHT, where the others meet. `relay LISTEN`: a relay without limits. `provider BYTES
MEETING RELAY...`: listens nowhere but at the relays, and exposes `myapp`, which sends so many bytes and ends. `opener
MEETING`: listens nowhere, opens `myapp` and reads it, telling how far it is, by which path, and what it read.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import uvloop

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.tunnel import Tunnel
from mesh.config import BeamSection, Config, KademliaSection, NetworkSection, RelaySection
from mesh.errors import UsageError
from mesh.node import Node

NAME: Final = "myapp"
PATIENCE_S: Final = 60.0
CHUNK_BYTES: Final = 1024 * 1024
LOOK_S: Final = 0.05


def content(size: int) -> list[bytes]:
    """What the service sends: the same bytes for each size."""
    chunk = random.Random(size).randbytes(CHUNK_BYTES)
    return [chunk[number % 256 :] + chunk[: number % 256] for number in range(size // CHUNK_BYTES)]


def digest(chunks: Sequence[bytes]) -> str:
    """SHA-256 of them all."""
    whole = hashlib.sha256()
    for each in chunks:
        whole.update(each)
    return whole.hexdigest()


def tell(**facts: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Party(AsyncExitStack):
    """A node with Beam, which ends with it."""

    async def node(self, listen: Sequence[str], meeting: Sequence[str], **relay: Any) -> Beam:
        settings = BeamSection(enabled=True, query_s=0.5)
        config = Config(
            network=NetworkSection(listen=tuple(listen), bootstrap=tuple(meeting)),
            kademlia=KademliaSection(mode="server" if listen else "client", prefix="/beam", addresses="all"),
            relay=RelaySection(**relay),
            beam=settings,
        )
        node = await self.enter_async_context(Node(config))
        return await self.enter_async_context(Beam(node, settings))


async def serve(listen: str, **relay: Any) -> None:
    """A node that others meet or are reached by."""
    async with Party() as party:
        beam = await party.node([listen], [], **relay)
        tell(ready=str(beam.node.listen_addrs[0]))
        await asyncio.Event().wait()


async def provide(size: int, meeting: str, relays: Sequence[str]) -> None:
    """Expose the service once every relay holds a reservation."""
    async with Party() as party, _service(content(size)) as port:
        beam = await party.node([], [meeting], relays=tuple(relays), always=True)
        async with asyncio.timeout(PATIENCE_S):
            while len(beam.node.swarm.circuits.relays) < len(relays):  # noqa: ASYNC110 - no event
                await asyncio.sleep(LOOK_S)
            done = await beam.expose(NAME, port, public=True)
            while not done[1].told.reached:
                await asyncio.sleep(LOOK_S)
                done = await beam.expose(NAME, port, public=True)
        tell(ready=str(beam.node.peer_id), digest=digest(content(size)))
        await asyncio.Event().wait()


async def fetch(meeting: str) -> None:
    """Read the service to its end, telling how far it is and by which path."""
    async with Party() as party:
        beam = await party.node([], [meeting])
        tunnel = await _open(beam)
        reader, writer = await asyncio.open_connection(tunnel.host, tunnel.port)
        whole, got, told, longest_s = hashlib.sha256(), 0, 0, 0.0
        try:
            while True:
                began = time.monotonic()
                data = await reader.read(CHUNK_BYTES)
                longest_s = max(longest_s, time.monotonic() - began)
                if not data:
                    break
                whole.update(data)
                got += len(data)
                if got >= told + CHUNK_BYTES and tunnel.provider is not None:
                    told = got
                    paths = max((len(each.streams) for each in beam.routing.sessions.own), default=0)
                    tell(bytes=got, paths=paths, path=beam.paths.describe(tunnel.provider))
        finally:
            writer.close()
        assert tunnel.provider is not None
        for switch in beam.routing.switches(tunnel.provider)[1:]:
            tell(before=str(switch.before), after=str(switch.after), reason=switch.reason)
        tell(done=got, digest=whole.hexdigest(), longest_s=longest_s)


async def _open(beam: Beam) -> Tunnel:
    """A tunnel to the service, as soon as it is heard of."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await beam.open(NAME)
            except UsageError:
                await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def _service(chunks: Sequence[bytes]) -> AsyncIterator[int]:
    """A TCP service that sends these and ends; its port."""

    async def serve_one(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for each in chunks:
                writer.write(each)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def main(words: Sequence[str]) -> None:
    """Play a role until the process is ended, or everything was read."""
    role, *rest = words
    match role:
        case "meeting":
            work = serve(rest[0])
        case "relay":
            work = serve(rest[0], serve=True, circuit_s=0, circuit_bytes=0)
        case "provider":
            work = provide(int(rest[0]), rest[1], rest[2:])
        case "opener":
            work = fetch(rest[0])
        case _:
            raise UsageError(f"{role} is no role")
    uvloop.run(work)


if __name__ == "__main__":
    main(sys.argv[1:])
