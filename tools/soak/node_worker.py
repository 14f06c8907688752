"""The node that is watched: what a daemon runs, with its default limits, listening on TCP and WebSocket."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import uvloop

from mesh.config import Config, NetworkSection, ServicesSection
from mesh.node import Node
from mesh.services import echo
from tools.bench import lines
from tools.bench.resident import resident_bytes

LISTEN = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws")


class Complaints(logging.Handler):
    """Counts what is logged as an error: an unforeseen exception in a task or in the loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = record.getMessage()


class Watched:
    """Answers the commands of the soak."""

    def __init__(self, node: Node, complaints: Complaints) -> None:
        self._node = node
        self._complaints = complaints
        self.commands: lines.Commands = {"sample": self.sample, "visit": self.visit}

    async def sample(self) -> dict[str, Any]:
        """What the process uses now."""
        return {
            "rss_bytes": resident_bytes(),
            "tasks": len(asyncio.all_tasks()),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "held_bytes": self._node.swarm.memory.used_bytes,
            "connections": len(self._node.connections),
            "errors": self._complaints.count,
            "last_error": self._complaints.last,
        }

    async def visit(self, addr: str) -> dict[str, Any]:
        """Dial somebody, have a few bytes echoed, hang up."""
        connection = await self._node.connect(addr)
        async with await self._node.open(connection, echo.PROTOCOL_ID) as stream:
            await stream.write(b"soak")
            if await stream.read_exactly(4) != b"soak":
                raise RuntimeError("what came back differs from what was sent")
        await connection.close()
        return {}


async def main() -> None:
    """Serve until the end of the input."""
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    config = Config(network=NetworkSection(listen=LISTEN), services=ServicesSection(serve=("echo", "perf")))
    async with Node(config) as node:
        lines.say(
            {"event": "ready", "peer": str(node.peer_id), "addrs": [str(each) for each in node.listen_addrs]}
        )
        await lines.serve(Watched(node, complaints).commands)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
