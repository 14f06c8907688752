"""This node as a worker: serves echo and perf, and runs the client's side of each row.

It speaks the JSON lines of the Go peer (tools/interop_peers): the same commands, members and meaning of each figure. It
uses nothing but what programs import of `mesh`. It ends at the end of its input.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from mesh.codecs.perf import Request
from mesh.config import Config, NetworkSection, ServicesSection, YamuxSection
from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services import echo, perf

LINE_BYTES = 1 << 20
PIECE = memoryview(bytes(256 * 1024))
MANY = 1_000_000
"""What limits are raised to."""


def settings(*listen: str) -> Config:
    """Limits out of the way, as on the Go side."""
    return Config(
        network=NetworkSection(listen=listen, max_connections=MANY, max_pending_upgrades=MANY),
        yamux=YamuxSection(max_inbound_streams=MANY),
        services=ServicesSection(serve=("echo", "perf")),
    )


class Worker:
    """Answers the commands that the rows use."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "connect": self.connect,
            "connections": self.connections,
            "perf": self.perf,
            "ping": self.ping,
            "stats": self.stats,
            "streams": self.streams,
        }

    async def connect(self, addr: str) -> dict[str, Any]:
        connection = await self._node.connect(addr)
        if connection.identified is not None:
            await asyncio.wait([connection.identified])
        return {"peer": str(connection.peer), "early_muxer": connection.early_muxer}

    async def perf(self, peer: str, upload: int = 0, download: int = 0) -> dict[str, Any]:
        """The upload lasts from opening the stream to the peer's first byte or end, the download from there."""
        started = time.perf_counter()
        async with await self._node.open(PeerId.parse(peer), perf.PROTOCOL_ID) as stream:
            await stream.write(Request(download).encode())
            left = upload
            while left:
                piece = PIECE[:left]
                await stream.write(piece)
                left -= len(piece)
            await stream.close_write()
            chunk = await stream.read_chunk()
            answered = time.perf_counter()
            received = len(chunk)
            while chunk:
                chunk = await stream.read_chunk()
                received += len(chunk)
            ended = time.perf_counter()
        if received != download:
            raise RuntimeError(f"wanted {download} bytes, got {received}")
        return {
            "upload_mb_per_s": upload / 1e6 / (answered - started),
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
        dialers = [Node(settings()) for _ in range(min(concurrency, count))]

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

    async def stats(self) -> dict[str, Any]:
        """What this process has computed so far."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
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


def say(line: dict[str, Any]) -> None:
    """One line of output, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def answer(worker: Worker, line: bytes) -> None:
    """Carry out one request; the runner's time limit is the one that counts."""
    request = json.loads(line)
    number, command = request.pop("id"), request.pop("cmd")
    request.pop("timeout_ms", None)
    try:
        result = await worker.commands[command](**request)
    except (MeshError, RuntimeError, KeyError, TypeError) as error:
        say({"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"})
    else:
        say({"id": number, "ok": True, **result})


async def main() -> None:
    """Serve until the end of the input."""
    requests = asyncio.StreamReader(limit=LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(requests), sys.stdin
    )
    running: set[asyncio.Task[None]] = set()
    async with Node(settings("/ip4/127.0.0.1/tcp/0")) as node:
        worker = Worker(node)
        say({"event": "ready", "peer": str(node.peer_id), "addrs": [str(each) for each in node.listen_addrs]})
        while line := await requests.readline():
            task = asyncio.create_task(answer(worker, line))
            running.add(task)
            task.add_done_callback(running.discard)
        for task in running:
            task.cancel()
    transport.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
