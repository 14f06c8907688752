"""`python -m tools.bench.lethean_live`: what a live Lethean node costs, on loopback, each end in a process of its own.

Four figures: CPU and wall time of a deploy of 786,072 bytes until it is acknowledged (bundle made, sealed, sent, opened,
unpacked), encrypted messages of 1 KiB a second with the listener's rate limit lifted, the round trip of encrypted pings,
and the memory a listener adds for held connections.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from mesh.apps.lethean.link import Link
from mesh.apps.lethean.node import LetheanNode
from mesh.apps.lethean.service import LetheanService
from mesh.config import LetheanSection
from mesh.protocols.lethean import bundle
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.identity import NodeKey

LARGEST_BYTES: Final = 786_072
"""Of a bundle in one message, with a name of five characters."""
MESSAGE_BYTES: Final = 1024
MESSAGES_S: Final = 60.0
TAR_BYTES: Final = 512 + 1024
CREATED: Final = "2026-01-02T03:04:05Z"
SERVE: Final = """
import asyncio, sys, uvloop
from pathlib import Path
from mesh.apps.lethean.service import LetheanService
from mesh.config import LetheanSection
from mesh.protocols.lethean.rate_limit import TokenBucket

TokenBucket.take = lambda self, now: True

async def main():
    section = LetheanSection(listen="127.0.0.1:0", mode="open", grants=("*=all",), max_connections=1000)
    async with LetheanService(section, Path(sys.argv[1])) as service:
        heard = 0

        async def count(link, message):
            nonlocal heard
            heard += 1

        async def tell(link, message):
            await link.say(f"heard-{heard}", None)

        service.node.extend("counted", count)
        service.node.extend("counted-last", tell)
        print(service.node.listen_address, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

uvloop.run(main())
"""


def resident_bytes(process: int) -> int:
    """The memory of a process now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure_deploys(controller: LetheanService, address: str, rounds: int) -> tuple[float, float]:
    """Median milliseconds, and the CPU milliseconds of this end."""
    link = await controller.controller.link_to(address)
    empty = bundle.make_miner("rigxx", {"xmrig": b""}, None, "x", bytes(48), 0)
    data = os.urandom((LARGEST_BYTES - len(empty.data or b"")) // 512 * 512)
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        made = bundle.make_miner("rigxx", {"xmrig": data}, None, link.session.password, os.urandom(48), 0)
        await controller.controller.deploy(link, made)
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
        await asyncio.sleep(0.05)
    return statistics.median(walls), statistics.median(cpus)


async def measure_pings(controller: LetheanService, address: str, count: int) -> float:
    """Median microseconds of a round trip, slow enough for the rate limit."""
    link = await controller.controller.link_to(address)
    times = []
    for _ in range(count):
        times.append(await controller.controller.ping(link) * 1000)
        await asyncio.sleep(0.025)
    return statistics.median(times)


async def measure_messages(controller: LetheanService, address: str, count: int) -> float:
    """Encrypted messages of 1 KiB a second, until the listener has dealt with the last one."""
    link = await controller.controller.link_to(address)
    heard = asyncio.Event()

    async def told(_link: Link, _message: Envelope) -> None:
        heard.set()

    controller.node.extend(f"heard-{count}", told)
    whole = link.message("counted", None)
    text = "x" * (MESSAGE_BYTES - len(whole.encode()) - len('""'))
    began = time.perf_counter()
    for _ in range(count):
        message = link.message("counted", None)
        message.raw = f'"{text}"'
        await link.send(message)
    await link.say("counted-last", None)
    async with asyncio.timeout(MESSAGES_S):
        await heard.wait()
    return count / (time.perf_counter() - began)


async def measure_memory(address: str, process: int, count: int) -> float:
    """MiB that a listener's memory grows by with so many connections."""
    before = resident_bytes(process)
    nodes = []
    for number in range(count):
        key = NodeKey(os.urandom(32))
        own = Own(key, key.identity(f"peer-{number}", CREATED))
        node = LetheanNode(LetheanSection(), own)
        await node.start()
        await node.measure(await node.connect(address))
        nodes.append(node)
    grown = (resident_bytes(process) - before) / 2**20
    await asyncio.gather(*(node.stop() for node in nodes))
    return grown


async def run(rounds: int, connections: int, messages: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE, folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        try:
            async with LetheanService(LetheanSection(role="controller"), None) as controller:
                grown = await measure_memory(address, process.pid, connections)
                print(f"{connections} connections held: {grown:.1f} MiB added")
                wall, cpu = await measure_deploys(controller, address, rounds)
                print(f"deploy of {LARGEST_BYTES} bytes: {wall:.0f} ms, of it {cpu:.0f} ms CPU of the sender")
                rate = await measure_messages(controller, address, messages)
                print(f"messages of {MESSAGE_BYTES} bytes: {rate:,.0f}/s")
                print(f"ping: {await measure_pings(controller, address, 40):.0f} us")
        finally:
            await process.communicate(b"")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.lethean_live", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--messages", type=int, default=20_000)
    given = parser.parse_args()
    uvloop.run(run(given.rounds, given.connections, given.messages))


if __name__ == "__main__":
    main()
