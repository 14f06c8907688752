"""This node as a worker that exchanges blocks: adds a file, or gets one, as the Go peer's `bitswap` does.

Blocks are kept in a folder, as a daemon keeps them. It speaks the JSON lines of the Go peer and ends at the end of its
input.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvloop

from mesh.config import BlocksSection, Config, NetworkSection, NodeSection
from mesh.multiformats.cid import Cid
from mesh.node import Node
from tools.bench import lines

PIECE = 256 * 1024


class Worker:
    """Answers the commands."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.commands: lines.Commands = {
            "connect": self.connect,
            "add_file": self.add_file,
            "get_file": self.get_file,
        }

    async def connect(self, addr: str) -> dict[str, Any]:
        connection = await self._node.connect(addr)
        if connection.identified is not None:
            await asyncio.wait([connection.identified])
        return {"peer": str(connection.peer)}

    async def add_file(self, **arguments: int) -> dict[str, Any]:
        """A file of pseudo-random bytes: ``bytes``, ``seed``."""
        hashed = hashlib.sha256()
        file = await self._node.files.add(content(arguments["bytes"], arguments["seed"], hashed.update))
        return {"cid": str(file.cid), "sha256": hashed.hexdigest()}

    async def get_file(self, cid: str) -> dict[str, Any]:
        """Read a file to its end; ``seconds`` it took."""
        hashed, size = hashlib.sha256(), 0
        began = time.perf_counter()
        async for piece in self._node.files.read(Cid.parse(cid)):
            hashed.update(piece)
            size += len(piece)
        return {"bytes": size, "sha256": hashed.hexdigest(), "seconds": time.perf_counter() - began}


async def content(size: int, seed: int, seen: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    rng = random.Random(seed)
    for at in range(0, size, PIECE):
        piece = rng.randbytes(min(PIECE, size - at))
        seen(piece)
        yield piece


async def run(folder: Path | None) -> None:
    config = Config(
        node=NodeSection(path=folder),
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
        blocks=BlocksSection(enabled=True, exchange=True),
    )
    async with Node(config) as node:
        addresses = [str(each) for each in node.listen_addrs]
        lines.say({"event": "ready", "peer": str(node.peer_id), "addrs": addresses})
        await lines.serve(Worker(node).commands)


def main() -> None:
    """Serve until the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path)
    uvloop.run(run(parser.parse_args().dir))


if __name__ == "__main__":
    main()
