"""A process of peers that use a node well and badly until its input ends or it is killed.

`python -m tools.soak.client IDENTITIES SEED ADDRESS...`: visitors draw from that many identities, or have a fresh one
each for 0. It says how often it did what in an event `did` every second, and which of its failures nobody provoked in
`surprised`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import sys
from collections import Counter
from collections.abc import Sequence

import uvloop

from mesh.codecs.perf import Request
from mesh.config import Config, NetworkSection, ServicesSection
from mesh.errors import Closed, MeshError
from mesh.identity.keys import PrivateKey
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services import echo, perf
from tools.bench import lines

VISITORS = 6
VANDALS = 2
MOST_BYTES = 300_000
REPORT_S = 1.0
ABORT_BY_RESET = struct.pack("ii", 1, 0)
OPENINGS = (b"\x13/multistream/1.0.0\n", b"\x13/multistream/1.0.0\n\x07/noise\n", b"GET / HTTP/1.1\r\n", b"")


class Client:
    """What one process does, all of it drawn from one seed."""

    def __init__(self, seed: int, identities: int, addresses: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._identities = identities
        self._addresses = addresses
        self.did: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()

    async def visits(self) -> None:
        """Come as a new peer, use some streams, go; over and over."""
        while True:
            try:
                async with Node(_settings(), key=self._key()) as node:
                    connection = await node.connect(self._random.choice(self._addresses))
                    self.did["connections"] += 1
                    await self._stay(node, connection)
            except MeshError as error:
                self.surprises[f"{type(error).__name__}: {error}"] += 1

    async def vandalism(self) -> None:
        """Raw sockets with bytes that mean nothing, or a beginning and nothing behind it."""
        places = [re.fullmatch(r"/ip4/([^/]+)/tcp/(\d+)/.*", each) for each in self._addresses]
        known = [(place[1], int(place[2])) for place in places if place is not None]
        while True:
            host, port = self._random.choice(known)
            reader, writer = await asyncio.open_connection(host, port)
            if self._random.random() < 0.5:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT_BY_RESET)
            with contextlib.suppress(ConnectionError, TimeoutError):
                writer.write(
                    self._random.choice(OPENINGS) + self._random.randbytes(self._random.randrange(5_000))
                )
                async with asyncio.timeout(self._random.uniform(0.0, 0.5)):
                    await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.did["garbage sockets"] += 1

    def _key(self) -> PrivateKey:
        if not self._identities:
            return PrivateKey.generate()
        number = self._random.randrange(self._identities)
        return PrivateKey.from_seed(number.to_bytes(32, "big"))

    async def tell(self) -> None:
        """Say what was done so far."""
        while True:
            await asyncio.sleep(REPORT_S)
            lines.say({"event": "did", "did": self.did, "surprised": self.surprises})

    async def _stay(self, node: Node, connection: Connection) -> None:
        uses = [self._echo, self._echo, self._reset, self._leave_unread, self._upload]
        for _ in range(self._random.randrange(6)):
            several = self._random.choices(uses, k=self._random.randrange(1, 5))
            await asyncio.gather(*(use(node, connection) for use in several))
        if self._random.random() < 0.3:
            async for _ in node.ping(connection, 3, interval_s=0):
                self.did["pings"] += 1
        if self._random.random() < 0.3:
            await asyncio.sleep(self._random.uniform(0, 1))
        if self._random.random() < 0.3:
            connection.abort(Closed("the soak aborts this connection"))
            self.did["aborted connections"] += 1

    async def _echo(self, node: Node, connection: Connection) -> None:
        data = self._random.randbytes(self._random.randrange(1, MOST_BYTES))
        async with await node.open(connection, echo.PROTOCOL_ID) as stream:
            writing = asyncio.create_task(_write_all(stream, data))
            back = await stream.read_all(max=len(data))
            await writing
        if back != data:
            raise RuntimeError("what came back differs from what was sent")
        self.did["echoes"] += 1

    async def _reset(self, node: Node, connection: Connection) -> None:
        stream = await node.open(connection, echo.PROTOCOL_ID)
        await stream.write(self._random.randbytes(self._random.randrange(1, 10_000)))
        if self._random.random() < 0.5:
            await stream.read()
        stream.reset()
        self.did["resets"] += 1

    async def _leave_unread(self, node: Node, connection: Connection) -> None:
        """Ask for a lot, read a little, go."""
        async with await node.open(connection, perf.PROTOCOL_ID) as stream:
            await stream.write(Request(self._random.randrange(10 * MOST_BYTES)).encode())
            await stream.close_write()
            await stream.read()
        self.did["unread streams"] += 1

    async def _upload(self, node: Node, connection: Connection) -> None:
        async with await node.open(connection, perf.PROTOCOL_ID) as stream:
            await stream.write(Request(1).encode())
            await stream.write(bytes(self._random.randrange(10 * MOST_BYTES)))
            await stream.close_write()
            await stream.read_all(max=1)
        self.did["uploads"] += 1


async def _write_all(stream: Stream, data: bytes) -> None:
    await stream.write(data)
    await stream.close_write()


def _settings(*listen: str) -> Config:
    return Config(network=NetworkSection(listen=listen), services=ServicesSection(serve=("echo",)))


async def main(identities: int, seed: int, addresses: Sequence[str]) -> None:
    """Everything at once until the input ends; one more node is there to be visited."""
    client = Client(seed, identities, addresses)
    work = [
        *(client.visits for _ in range(VISITORS)),
        *(client.vandalism for _ in range(VANDALS)),
        client.tell,
    ]
    async with Node(_settings("/ip4/127.0.0.1/tcp/0")) as host:
        lines.say(
            {"event": "ready", "peer": str(host.peer_id), "addrs": [str(each) for each in host.listen_addrs]}
        )
        tasks = [asyncio.create_task(each()) for each in work]
        waiting = asyncio.create_task(lines.serve({}))
        ended, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in ended:
            task.result()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
