"""`python -m tools.bench.beam_place HOST`: some of the nodes of `tools.bench.beam`, in a process of their own.

Commands come as JSON, one a line, and each is answered by a line; it ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from mesh.apps.beam.registry import Wanted
from mesh.identity.peer_id import PeerId
from tools.bench.beam_network import Network, echo_service, first_byte


class Place(Network):
    """Nodes at one address."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One command; ``node`` says which node of this place is meant."""
        node = asked.get("node", -1)
        match asked["do"]:
            case "join":
                beam = await self.join(asked["through"], f"/ip4/{self._host}/tcp/0")
                return {"address": str(beam.node.listen_addrs[0]), "took_ms": (self.joins_ms or [0.0])[-1]}
            case "register":
                began = time.perf_counter()
                _, done = await self.all[node].register(
                    asked["name"], lambda service_id: Wanted(service_id, "http")
                )
                return {"took_ms": 1000 * (time.perf_counter() - began), "reached": done.told.reached}
            case "find":
                found = await self.all[node].find(asked["name"], fresh=asked["fresh"])
                return {
                    "took_ms": 1000 * found.took_s,
                    "found": bool(found.providers),
                    "source": found.source,
                }
            case "expose":
                port = await self.enter_async_context(echo_service())
                await self.all[node].expose(asked["name"], port, public=True)
                return {}
            case "peer":
                return {"peer": str(self.all[node].node.peer_id)}
            case "allow":
                await self.all[node].names.allow(asked["name"], PeerId.parse(asked["peer"]))
                return {}
            case "open":
                await self.all[node].open(asked["name"])
                return {}
            case "byte":
                tunnel = self.all[node].tunnels[0]
                return {"took_ms": await first_byte(tunnel.port), "provider": str(tunnel.provider)}
            case "connections":
                return {"counts": [len(each.node.swarm.peers) for each in self.all]}
        raise ValueError(f"no such command: {asked['do']}")


async def serve(host: str) -> None:
    """Until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Place(host) as place:
        while line := await reader.readline():
            sys.stdout.write(json.dumps(await place.do(json.loads(line))) + "\n")
            sys.stdout.flush()


def main(words: Sequence[str]) -> None:
    """Serve at one address."""
    uvloop.run(serve(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
