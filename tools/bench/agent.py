"""`python -m tools.bench.agent`: what the agent daemon's promises cost, on loopback.

Search: a store is filled with messages of twelve words, their frequencies those of a language (the n-th commonest word
occurs n times less often than the commonest); then pages of 50 are searched for, with their totals, as the API does it.
Status: one process sends messages to an agent in another at a steady rate, a third asks the agent's API for `/status`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx
import uvloop

from mesh.apps.agent.records import Direction, MessageRecord
from mesh.apps.agent.store import AgentStore, message_log, message_pages
from mesh.apps.agent.store.message_pages import PageQuery

WORDS: Final = 20_000
WORDS_A_MESSAGE: Final = 12
PEERS: Final = 200
ROWS_AT_ONCE: Final = 500
START: Final = 1_795_198_537_430
SEARCHES: Final = {
    "the commonest word": PageQuery(search="w00000"),
    "a common word": PageQuery(search="w00010"),
    "a rare word": PageQuery(search="w15000"),
    "two common words": PageQuery(search="w00000 w00001"),
    "either of two words": PageQuery(search="w00001 OR w00002"),
    "a phrase of common words": PageQuery(search='"w00000 w00001"'),
    "a word and not another": PageQuery(search="w00000 NOT w00001"),
    "a beginning of 10 words": PageQuery(search="w0012*"),
    "a common word of one peer": PageQuery(search="w00000", peer="12D3KooW" + "7".rjust(44, "0")),
    "a peer's name": PageQuery(search='"peer 7"'),
    "the commonest word of a rare type": PageQuery(search="w00000", message_type="payment"),
    "the commonest word of the first second": PageQuery(search="w00000", until=START + 1000),
    "the commonest word, inbound": PageQuery(search="w00000", direction=Direction.INBOUND),
}
SEND: Final = """
import asyncio, sys, time, uvloop
from mesh.apps.agent.agent import Agent
from mesh.config import AgentSection, Config, NetworkSection
from mesh.node import Node

async def main(target, address, rate):
    config = Config(network=NetworkSection(listen=(), bootstrap=(address,)))
    async with Node(config) as node, Agent(node, config) as agent:
        number, due, sending = 0, time.monotonic(), set()
        print("ready", flush=True)
        while True:
            due += 0.02
            for _ in range(rate // 50):
                number += 1
                task = asyncio.create_task(agent.send(target, f"message number {number} of a steady stream"))
                sending.add(task)
                task.add_done_callback(sending.discard)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(sending) > 10 * rate:
                raise SystemExit("the sender is too slow for this rate")

uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""
SERVE: Final = """
import asyncio, sys, uvloop
from pathlib import Path
from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.config import AgentSection, Config, NetworkSection, NodeSection
from mesh.node import Node

async def main(folder):
    config = Config(
        node=NodeSection(path=Path(folder)),
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
        agent=AgentSection(rate=1_000_000),
    )
    async with Node(config) as node, Agent(node, config) as agent, AgentApi(agent, "127.0.0.1:0") as api:
        print(node.peer_id, node.listen_addrs[0], api.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

uvloop.run(main(sys.argv[1]))
"""


def records(count: int) -> Iterator[list[MessageRecord]]:
    """So many messages, some at a time, the same ones every time."""
    chance = random.Random(1)
    words = [f"w{number:05}" for number in range(WORDS)]
    weights = list(itertools.accumulate(1 / (number + 1) for number in range(WORDS)))
    peers = [("12D3KooW" + str(number).rjust(44, "0"), f"peer {number}") for number in range(PEERS)]
    for begin in range(0, count, ROWS_AT_ONCE):
        page = []
        for number in range(begin, min(begin + ROWS_AT_ONCE, count)):
            peer, name = chance.choice(peers)
            page.append(
                MessageRecord(
                    id=0,
                    peer_id=peer,
                    direction=chance.choice((Direction.INBOUND, Direction.OUTBOUND)),
                    content=" ".join(chance.choices(words, cum_weights=weights, k=WORDS_A_MESSAGE)),
                    message_type="payment" if number % 10_000 == 0 else "text",
                    timestamp=START + number,
                    peer_name=name,
                )
            )
        yield page


def add_all(database: sqlite3.Connection, page: list[MessageRecord]) -> None:
    """Log these messages."""
    for record in page:
        message_log.add(database, record)


async def measure_search(count: int, rounds: int) -> None:
    """Print the median and the longest time of each search in so many messages, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        async with AgentStore(Path(folder) / "agent.db") as store:
            began = time.perf_counter()
            for page in records(count):
                await store.write(lambda database, page=page: add_all(database, page))  # type: ignore[misc]
            took = time.perf_counter() - began
            size = folder_bytes(Path(folder)) / 2**20
            print(f"stored {count:,} messages in {took:.0f} s ({count / took:,.0f}/s), {size:.0f} MiB")
            print("| search | median ms | longest ms | found |\n|---|---:|---:|---:|")
            medians = [await search_time(store, name, query, rounds) for name, query in SEARCHES.items()]
            print(f"slowest median {max(medians):.1f} ms")


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take."""
    return sum(each.stat().st_size for each in folder.iterdir())


async def search_time(store: AgentStore, name: str, query: PageQuery, rounds: int) -> float:
    """The median of one search."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        page = await store.read(lambda database: message_pages.page(database, query))
        times.append((time.perf_counter() - began) * 1000)
    found = f"{page.total:,}" if page.exact else f"more than {page.total:,}"
    print(f"| {name} | {statistics.median(times):.2f} | {max(times):.2f} | {found} |")
    return statistics.median(times)


async def measure_status(rate: int, seconds: float) -> None:
    """Print how long `/status` takes while the agent receives messages at a rate."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = asyncio.subprocess.PIPE
        receiver = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, folder, stdin=pipe, stdout=pipe
        )
        assert receiver.stdout is not None
        peer, address, url = (await receiver.stdout.readline()).decode().split()
        sender = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SEND, peer, address, str(rate), stdout=pipe
        )
        try:
            assert sender.stdout is not None
            await sender.stdout.readline()
            async with httpx.AsyncClient(base_url=url, trust_env=False) as caller:
                await ask_status(caller, min(seconds, 2.0))
                before, began = await received(caller), time.perf_counter()
                times = await ask_status(caller, seconds)
                got = (await received(caller) - before) / (time.perf_counter() - began)
        finally:
            for process in (sender, receiver):
                if process.returncode is None:
                    process.kill()
                await process.wait()
    p99 = statistics.quantiles(times, n=100)[98]
    print(
        f"/status while {got:,.0f} messages/s are received: median {statistics.median(times):.2f} ms, p99 {p99:.2f} ms, "
        f"longest {max(times):.2f} ms of {len(times):,} calls"
    )


async def ask_status(caller: httpx.AsyncClient, seconds: float) -> list[float]:
    """Milliseconds of each call, one after another with a pause of 5 ms."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        (await caller.get("/status")).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    return times


async def received(caller: httpx.AsyncClient) -> int:
    """Messages that the agent has logged."""
    count: int = (await caller.get("/messages/stats")).json()["totalInbound"]
    return count


async def run(options: argparse.Namespace) -> None:
    """Print the figures that are wanted."""
    if options.messages:
        await measure_search(options.messages, options.rounds)
    if options.seconds:
        await measure_status(options.rate, options.seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="stored for the searches; 0: no searches"
    )
    parser.add_argument("--rounds", type=int, default=21, help="of each search")
    parser.add_argument("--seconds", type=float, default=10.0, help="of asking for the status; 0: none")
    parser.add_argument("--rate", type=int, default=1000, help="messages a second to send, a multiple of 50")
    uvloop.run(run(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
