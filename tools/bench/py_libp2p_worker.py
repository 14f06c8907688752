"""py-libp2p as a worker (see `lines`): bulk, ping, streams, connections over TCP with Noise and yamux, or over QUIC.

It runs in an environment of its own and imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import multiaddr  # type: ignore[import-not-found]
import trio  # type: ignore[import-not-found]
from libp2p import generate_new_ed25519_identity, new_host  # type: ignore[import-not-found]
from libp2p.crypto.x25519 import create_new_key_pair  # type: ignore[import-not-found]
from libp2p.host.ping import handle_ping, perform_ping_roundtrip  # type: ignore[import-not-found]
from libp2p.network.config import ConnectionConfig  # type: ignore[import-not-found]
from libp2p.network.stream.exceptions import StreamEOF, StreamReset  # type: ignore[import-not-found]
from libp2p.peer.id import ID  # type: ignore[import-not-found]
from libp2p.peer.peerinfo import info_from_p2p_addr  # type: ignore[import-not-found]
from libp2p.perf import PerfService  # type: ignore[import-not-found]
from libp2p.rcmgr import ResourceLimits, ResourceManager  # type: ignore[import-not-found]
from libp2p.rcmgr.connection_limits import new_connection_limits  # type: ignore[import-not-found]
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE  # type: ignore[import-not-found]
from libp2p.security.noise.transport import Transport as Noise
from libp2p.security.tls.transport import PROTOCOL_ID as TLS  # type: ignore[import-not-found]
from libp2p.security.tls.transport import TLSTransport
from libp2p.transport.quic.config import QUICTransportConfig  # type: ignore[import-not-found]

ECHO, PERF, PING, IDENTIFY = "/echo/1.0.0", "/perf/1.0.0", "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"
LISTEN = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "tls": "/ip4/127.0.0.1/tcp/0",
    "quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}
PIECE = bytes(64 * 1024)
MANY = 1_000_000


def make_host(transport: str) -> Any:
    """Limits out of the way; Noise alone, TLS alone, or QUIC alone."""
    key = generate_new_ed25519_identity()
    quic = transport == "quic"
    noise = {NOISE: Noise(key, noise_privkey=create_new_key_pair().private_key)}
    limits = ResourceLimits(max_connections=MANY, max_streams=MANY, max_memory_mb=1 << 20)
    return new_host(
        key_pair=key,
        sec_opt={TLS: TLSTransport(key)} if transport == "tls" else noise,
        muxer_preference="YAMUX",
        resource_manager=ResourceManager(
            limits=limits,
            connection_limits=new_connection_limits(),
            enable_memory_limits=False,
            enable_circuit_breaker=False,
            enable_graceful_degradation=False,
            enable_rate_limiting=False,
        ),
        enable_quic=quic,
        enable_tcp=not quic,
        connection_config=(QUICTransportConfig if quic else ConnectionConfig)(max_connections=MANY),
    )


async def read(stream: Any) -> bytes:
    """What there is, b"" at the end, which over QUIC looks like a reset once this side has ended too."""
    try:
        return bytes(await stream.read(len(PIECE)))
    except (StreamEOF, StreamReset):
        return b""


async def serve_echo(stream: Any) -> None:
    """Everything comes back."""
    while data := await read(stream):
        await stream.write(data)
    await stream.close()


class Worker:
    """Answers the commands that the rows use."""

    def __init__(self, host: Any, transport: str) -> None:
        self._host = host
        self._transport = transport
        self.commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "connect": self.connect,
            "connections": self.connections,
            "perf": self.perf,
            "ping": self.ping,
            "stats": self.stats,
            "streams": self.streams,
        }

    async def connect(self, addr: str) -> dict[str, Any]:
        info = info_from_p2p_addr(multiaddr.Multiaddr(addr))
        await self._host.connect(info)
        return {"peer": str(info.peer_id)}

    async def perf(self, peer: str, upload: int = 0, download: int = 0) -> dict[str, Any]:
        started = time.perf_counter()
        stream = await self._host.new_stream(ID.from_base58(peer), [PERF])
        await stream.write(download.to_bytes(8, "big"))
        left = upload
        while left:
            size = min(left, len(PIECE))
            await stream.write(PIECE[:size])
            left -= size
        await stream.close_write()
        came = await read(stream)
        answered = time.perf_counter()
        received = len(came)
        while came:
            came = await read(stream)
            received += len(came)
        ended = time.perf_counter()
        await stream.close()
        if received != download:
            raise RuntimeError(f"wanted {download} bytes, got {received}")
        return {
            "upload_mb_per_s": upload / 1e6 / (answered - started),
            "download_mb_per_s": download / 1e6 / max(ended - answered, 1e-9),
            "seconds": ended - started,
        }

    async def ping(self, peer: str, count: int) -> dict[str, Any]:
        """Timed here: the library's own figure is in whole milliseconds."""
        stream = await self._host.new_stream(ID.from_base58(peer), [PING])
        trips = []
        for _ in range(count):
            started = time.perf_counter()
            await perform_ping_roundtrip(stream)
            trips.append(time.perf_counter() - started)
        await stream.close()
        trips.sort()
        return {
            "count": count,
            "lost": 0,
            "median_us": trips[-(-count * 50 // 100) - 1] * 1e6,
            "p99_us": trips[-(-count * 99 // 100) - 1] * 1e6,
        }

    async def streams(self, peer: str, count: int, concurrency: int) -> dict[str, Any]:
        target = ID.from_base58(peer)

        async def one(_worker: int) -> None:
            stream = await self._host.new_stream(target, [ECHO])
            await stream.write(b"Z")
            if await stream.read(1) != b"Z":
                raise RuntimeError("what came back differs from what was sent")
            await stream.close()

        return await repeat(one, count, concurrency)

    async def connections(self, addr: str, count: int, concurrency: int) -> dict[str, Any]:
        """Connect, identify, close; each worker has a host, made before the clock starts."""
        info = info_from_p2p_addr(multiaddr.Multiaddr(addr))
        dialers = [make_host(self._transport) for _ in range(min(concurrency, count))]

        async def one(worker: int) -> None:
            host = dialers[worker]
            await host.connect(info)
            stream = await host.new_stream(info.peer_id, [IDENTIFY])
            if not await read(stream):
                raise RuntimeError("the peer was not identified")
            await stream.close()
            await host.disconnect(info.peer_id)

        async with trio.open_nursery() as nursery:
            for host in dialers:
                await nursery.start(run_host, host)
            answer = await repeat(one, count, len(dialers))
            nursery.cancel_scope.cancel()
        return answer

    async def stats(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024}


async def run_host(host: Any, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """A host that only dials, until cancelled."""
    async with host.run(listen_addrs=[]):
        task_status.started()
        await trio.sleep_forever()


async def repeat(once: Callable[[int], Awaitable[None]], count: int, workers: int) -> dict[str, Any]:
    """Do it ``count`` times, spread over the workers; the rate counts what succeeded."""
    numbers = iter(range(count))
    errors: list[str] = []

    async def work(worker: int) -> None:
        for _ in numbers:
            try:
                await once(worker)
            except Exception as error:  # noqa: BLE001 - whatever the library raises, it is the measurement's failure
                errors.append(f"{type(error).__name__}: {error}")

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for worker in range(min(workers, count)):
            nursery.start_soon(work, worker)
    elapsed = time.perf_counter() - started
    answer = {"count": count, "failed": len(errors), "seconds": elapsed}
    answer["per_second"] = (count - len(errors)) / elapsed
    return {**answer, "first_error": errors[0]} if errors else answer


def say(line: dict[str, Any]) -> None:
    """One line of output, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def answer(worker: Worker, line: bytes) -> None:
    """Carry out one request."""
    request = json.loads(line)
    number, command = request.pop("id"), request.pop("cmd")
    request.pop("timeout_ms", None)
    try:
        result = await worker.commands[command](**request)
    except Exception as error:  # noqa: BLE001 - as above
        say({"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"})
    else:
        say({"id": number, "ok": True, **result})


async def main() -> None:
    """Serve until the end of the input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", choices=LISTEN, default="tcp")
    transport = parser.parse_args().transport
    host = make_host(transport)
    async with (
        host.run(listen_addrs=[multiaddr.Multiaddr(LISTEN[transport])]),
        trio.open_nursery() as nursery,
    ):
        host.set_stream_handler(ECHO, serve_echo)
        host.set_stream_handler(PING, handle_ping)
        await PerfService(host).start()
        worker = Worker(host, transport)
        peer = str(host.get_id())
        addresses = [str(each).split("/p2p/")[0] for each in host.get_transport_addrs()]
        say({"event": "ready", "peer": peer, "addrs": [f"{each}/p2p/{peer}" for each in addresses]})
        rest = b""
        async for data in trio.lowlevel.FdStream(os.dup(0)):
            *complete, rest = (rest + data).split(b"\n")
            for line in complete:
                nursery.start_soon(answer, worker, line)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
