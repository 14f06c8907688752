"""Two replicas of go-ds-crdt and two of ours over live pubsub and bitswap: they converge, whatever happens to one."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mesh.config import BlocksSection, GossipSection, NodeSection
from mesh.node import Node
from mesh.services.crdt import Crdt
from tests.network.live import Nodes, configured
from tools.interop_peers.building import PeerMissing, ensure_built
from tools.interop_peers.process import PeerProcess

TOPIC = "betar/marketplace/crdt"
DEADLINE_S = 60.0
REBROADCAST_S = 2.0


@pytest.fixture
def program() -> str:
    try:
        return str(ensure_built())
    except PeerMissing as missing:
        pytest.skip(str(missing))


class Network(AsyncExitStack):
    """Replicas of both kinds, all connected."""

    def __init__(self, program: str, nodes: Nodes, folder: Path) -> None:
        super().__init__()
        self.program, self.nodes, self.folder = program, nodes, folder
        self.ours: dict[str, tuple[Node, Crdt]] = {}
        self.theirs: dict[str, PeerProcess] = {}

    async def start_ours(self, name: str) -> Crdt:
        config = dataclasses.replace(
            configured(),
            node=NodeSection(path=self.folder / name),
            gossip=GossipSection(enabled=True, heartbeat_s=0.2),
            blocks=BlocksSection(enabled=True, exchange=True),
        )
        node = Node(config)
        self.push_async_callback(node.stop)
        await node.start()
        crdt = await node.crdt(TOPIC, rebroadcast_s=REBROADCAST_S)
        self.ours[name] = (node, crdt)
        await self._join(node)
        return crdt

    async def start_theirs(self, name: str) -> PeerProcess:
        command = [self.program, "crdt", "--dir", str(self.folder / name), "--topic", TOPIC]
        peer = await self.enter_async_context(PeerProcess(*command, "--rebroadcast", f"{REBROADCAST_S:g}s"))
        for other in [*self.theirs.values()]:
            await peer.call("connect", addr=other.address)
        self.theirs[name] = peer
        for node, _ in self.ours.values():
            await node.connect(peer.address)
        return peer

    async def stop_ours(self, name: str) -> None:
        node, _ = self.ours.pop(name)
        await node.stop()

    async def kill_theirs(self, name: str) -> None:
        await self.theirs.pop(name).kill()

    async def _join(self, node: Node) -> None:
        for peer in self.theirs.values():
            await node.connect(peer.address)
        for other, _ in self.ours.values():
            if other is not node:
                await node.connect(other.listen_addrs[0])

    async def views(self) -> list[tuple[dict[str, str], list[str]]]:
        """Mapping and heads of each."""
        found = []
        for _, crdt in self.ours.values():
            mapping = {key: value.decode() for key, value in crdt.below()}
            found.append((mapping, sorted(map(str, crdt.status().heads))))
        for peer in self.theirs.values():
            answer: dict[str, Any] = await peer.call("dump")
            found.append((answer["entries"], sorted(answer["heads"])))
        return found

    async def converged(self, mapping: dict[str, str] | None = None) -> dict[str, str]:
        """Wait until all have one mapping (this one, if given) and the same heads."""
        views = []
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    views = await self.views()
                    if all(each == views[0] for each in views) and mapping in (None, views[0][0]):
                        return views[0][0]
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no convergence within {DEADLINE_S:g} s: {views}") from None


@pytest.fixture
async def network(program: str, nodes: Nodes, tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(program, nodes, tmp_path) as made:
        for name in ("go1", "go2"):
            await made.start_theirs(name)
        for name in ("a", "b"):
            await made.start_ours(name)
        yield made


async def test_writes_deletes_and_batches_of_all_at_once(network: Network) -> None:
    first, second = (crdt for _, crdt in network.ours.values())
    go1, go2 = network.theirs.values()
    await go1.call("put", key="/agents/one", value="1")
    await network.converged({"/agents/one": "1"})
    await asyncio.gather(
        first.put("/agents/two", b"ours"),
        second.batch([("/agents/three", b"3"), ("/agents/one", None)]),
        go1.call("batch", put={"/agents/four": "4", "/agents/five": "5"}, delete=[]),
        go2.call("put", key="/agents/two", value="theirs"),
    )
    found = await network.converged()
    assert set(found) <= {"/agents/one", "/agents/two", "/agents/three", "/agents/four", "/agents/five"}
    await go2.call("delete", key="/agents/three")
    await first.delete("/agents/four")
    found = await network.converged()
    assert not {"/agents/three", "/agents/four"} & set(found)
    await asyncio.gather(
        *(crdt.put(f"/ours/{number}", b"x") for number in range(20) for crdt in (first, second)),
        *(peer.call("put", key=f"/go/{number}", value="y") for number in range(10) for peer in (go1, go2)),
    )
    found = await network.converged()
    assert {f"/ours/{number}" for number in range(20)} | {f"/go/{number}" for number in range(10)} < set(
        found
    )


async def test_who_was_away_catches_up(network: Network) -> None:
    """One of each kind ends, the first without a word, while the others go on writing."""
    first = network.ours["a"][1]
    await network.theirs["go1"].call("put", key="/before", value="1")
    await network.converged({"/before": "1"})
    await network.kill_theirs("go2")
    await network.stop_ours("b")
    for number in range(10):
        await first.put(f"/away/{number}", b"%d" % number)
        await network.theirs["go1"].call("put", key=f"/too/{number}", value=str(number))
    await first.delete("/before")
    await network.start_theirs("go2")
    again = await network.start_ours("b")
    await again.put("/again", b"1")
    expected = {f"/{side}/{number}": str(number) for side in ("away", "too") for number in range(10)}
    await network.converged({**expected, "/again": "1"})


async def test_both_sides_of_a_partition_write(network: Network) -> None:
    """Ours and theirs are cut from each other, then joined again."""
    ours, theirs = network.ours, network.theirs
    await ours["a"][1].put("/shared", b"0")
    await network.converged({"/shared": "0"})
    for node, _ in ours.values():
        for peer in theirs.values():
            await peer.call("disconnect", peer=str(node.peer_id))
    for number in range(5):
        await ours["a"][1].put("/shared", b"ours %d" % number)
        await theirs["go1"].call("put", key="/shared", value=f"theirs {number}")
        await theirs["go2"].call("put", key=f"/go/{number}", value="1")
        await ours["b"][1].put(f"/ours/{number}", b"1")
    for node, _ in ours.values():
        await network._join(node)
    found = await network.converged()
    assert len(found) == 11
    assert found["/shared"].split()[0] in ("ours", "theirs")


async def test_ours_survives_sudden_death(network: Network, tmp_path: Path) -> None:
    """A process of ours dies by SIGKILL between two puts; what it acknowledged reaches the Go replicas."""
    script = """
import asyncio, sys
from pathlib import Path
from mesh.config import BlocksSection, Config, GossipSection, NetworkSection, NodeSection
from mesh.node import Node

async def main():
    config = Config(
        node=NodeSection(path=Path(sys.argv[1])),
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
        gossip=GossipSection(enabled=True, heartbeat_s=0.2),
        blocks=BlocksSection(enabled=True, exchange=True),
    )
    async with Node(config) as node:
        crdt = await node.crdt(sys.argv[2])
        for address in sys.argv[3:]:
            await node.connect(address)
        have = len(crdt.below("/killed"))
        print("has", have, flush=True)
        for number in range(have, 10**6):
            await crdt.put(f"/killed/{number}", b"1")
            print("put", number, flush=True)

asyncio.run(main())
"""
    addresses = [each.address for each in network.theirs.values()]
    last = -1
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, str(tmp_path / "killed"), TOPIC, *addresses),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            has = (await process.stdout.readline()).split()
            assert int(has[1]) >= last + 1
            for _ in range(15):
                last = int((await process.stdout.readline()).split()[1])
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = await process.communicate()
        last = max([last, *(int(line.split()[1]) for line in rest.splitlines() if line.startswith(b"put "))])
    crdt = await network.start_ours("killed")
    found = await network.converged()
    assert {f"/killed/{number}" for number in range(last + 1)} <= set(found)
    assert crdt.get(f"/killed/{last}") == b"1"
