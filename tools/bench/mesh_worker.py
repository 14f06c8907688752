"""This node as a worker: serves echo and perf, and runs the client's side of each row.

It speaks the JSON lines of the Go peer (tools/interop_peers): the same commands, members and meaning of each figure. It
uses nothing but what programs import of `mesh`. It ends at the end of its input.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from mesh.codecs.perf import Request
from mesh.config import Config, NetworkSection, QuicSection, ServicesSection, YamuxSection
from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services import echo, perf
from tools.bench import lines
from tools.bench.resident import give_back, resident_bytes

PIECE = memoryview(bytes(256 * 1024))
LISTEN = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "tls": "/ip4/127.0.0.1/tcp/0",
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}
MANY = 1_000_000
"""What limits are raised to."""


def settings(security: str, engine: str, *listen: str) -> Config:
    """Limits out of the way, as on the Go side; QUIC's are go-libp2p's."""
    return Config(
        network=NetworkSection(
            listen=listen, security=(security,), max_connections=MANY, max_pending_upgrades=MANY
        ),
        quic=QuicSection(engine=engine),
        yamux=YamuxSection(max_inbound_streams=MANY),
        services=ServicesSection(serve=("echo", "perf")),
    )


class Worker:
    """Answers the commands that the rows use."""

    def __init__(self, node: Node, dialing: Config) -> None:
        self._node = node
        self._dialing = dialing
        self._held: list[Node] = []
        self.commands: lines.Commands = {
            "connect": self.connect,
            "connections": self.connections,
            "hold": self.hold,
            "perf": self.perf,
            "ping": self.ping,
            "settle": self.settle,
            "stats": self.stats,
            "streams": self.streams,
        }

    async def connect(self, addr: str) -> dict[str, Any]:
        connection = await self._node.connect(addr)
        if connection.identified is not None:
            await asyncio.wait([connection.identified])
        return {"peer": str(connection.peer), "early_muxer": connection.early_muxer}

    async def perf(
        self, peer: str, upload: int = 0, download: int = 0, chunk: int = len(PIECE)
    ) -> dict[str, Any]:
        """The upload lasts from opening the stream to the peer's first byte or end, the download from there; ``chunk``
        is the size of one write."""
        piece = PIECE[:chunk]
        started = time.perf_counter()
        async with await self._node.open(PeerId.parse(peer), perf.PROTOCOL_ID) as stream:
            await stream.write(Request(download).encode())
            for _ in range(upload // chunk):
                await stream.write(piece)
            await stream.write(piece[: upload % chunk])
            await stream.close_write()
            came = await stream.read_chunk()
            answered = time.perf_counter()
            received = len(came)
            while came:
                came = await stream.read_chunk()
                received += len(came)
            ended = time.perf_counter()
        if received != download:
            raise RuntimeError(f"wanted {download} bytes, got {received}")
        return {
            "upload_mb_per_s": upload / 1e6 / (answered - started),
            "writes_per_second": -(-upload // chunk) / (answered - started),
            "download_mb_per_s": download / 1e6 / max(ended - answered, 1e-9),
            "seconds": ended - started,
        }

    async def ping(self, peer: str, count: int) -> dict[str, Any]:
        """Back to back, percentiles by nearest rank."""
        trips = [each async for each in self._node.ping(PeerId.parse(peer), count, interval_s=0)]
        answered = sorted(each for each in trips if each is not None)
        return {
            "count": len(answered),
            "lost": count - len(answered),
            "median_us": _percentile(answered, 50) * 1e6,
            "p99_us": _percentile(answered, 99) * 1e6,
        }

    async def streams(self, peer: str, count: int, concurrency: int) -> dict[str, Any]:
        """Echo streams with one byte each."""
        target = PeerId.parse(peer)

        async def one(_worker: int) -> None:
            async with await self._node.open(target, echo.PROTOCOL_ID) as stream:
                await stream.write(b"Z")
                if await stream.read_exactly(1) != b"Z":
                    raise RuntimeError("what came back differs from what was sent")

        return await _repeat(one, count, concurrency)

    async def connections(self, addr: str, count: int, concurrency: int) -> dict[str, Any]:
        """Connect, identify, close, over and over; each worker has a node, made before the clock starts."""
        dialers = [Node(self._dialing) for _ in range(min(concurrency, count))]

        async def one(worker: int) -> None:
            connection = await dialers[worker].connect(addr)
            if connection.identified is not None:
                await asyncio.wait([connection.identified])
            if connection.remote_info is None:
                raise RuntimeError("the peer was not identified")
            await connection.close()

        try:
            for dialer in dialers:
                await dialer.start()
            return await _repeat(one, count, len(dialers))
        finally:
            for dialer in dialers:
                await dialer.stop()

    async def hold(self, addr: str, count: int, concurrency: int = 8) -> dict[str, Any]:
        """Open connections, each from a fresh node with its own key, and keep them."""

        async def one(_worker: int) -> None:
            dialer = Node(self._dialing)
            await dialer.start()
            self._held.append(dialer)
            connection = await dialer.connect(addr)
            if connection.identified is not None:
                await asyncio.wait([connection.identified])

        return {**await _repeat(one, count, concurrency), "held": len(self._held)}

    async def release(self) -> None:
        """End the nodes that are held."""
        await asyncio.gather(*(each.stop() for each in self._held))

    async def settle(self) -> dict[str, Any]:
        """As `stats`, after garbage was collected and freed memory was given back to the system."""
        give_back()
        return await self.stats()

    async def stats(self) -> dict[str, Any]:
        """What this process has computed so far, and what it holds."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "rss_bytes": resident_bytes(),
            "peak_rss_bytes": usage.ru_maxrss * 1024,
            "connections": len(self._node.connections),
        }


def _percentile(values: list[float], percent: int) -> float:
    return values[-(-len(values) * percent // 100) - 1] if values else 0.0


async def _repeat(once: Callable[[int], Awaitable[None]], count: int, workers: int) -> dict[str, Any]:
    """Do it ``count`` times, spread over the workers, and go on after failures; the rate counts what succeeded."""
    numbers = iter(range(count))
    errors: list[str] = []

    async def work(worker: int) -> None:
        for _ in numbers:
            try:
                await once(worker)
            except (MeshError, RuntimeError) as error:
                errors.append(str(error))

    started = time.perf_counter()
    await asyncio.gather(*map(work, range(min(workers, count))))
    elapsed = time.perf_counter() - started
    answer: dict[str, Any] = {"count": count, "failed": len(errors), "seconds": elapsed}
    answer["per_second"] = (count - len(errors)) / elapsed
    if errors:
        answer["first_error"] = errors[0]
    return answer


async def main() -> None:
    """Serve until the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--transport", choices=LISTEN, default="tcp")
    parser.add_argument("--engine", default="auto", help="what speaks QUIC, as quic.engine")
    options = parser.parse_args()
    security = "tls" if options.transport == "tls" else "noise"
    async with Node(settings(security, options.engine, LISTEN[options.transport])) as node:
        worker = Worker(node, settings(security, options.engine))
        lines.say(
            {"event": "ready", "peer": str(node.peer_id), "addrs": [str(each) for each in node.listen_addrs]}
        )
        try:
            await lines.serve(worker.commands)
        finally:
            await worker.release()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
