"""The relay that is watched, alone in its process: `python -m tools.soak.relay_worker CIRCUIT-S CIRCUIT-BYTES`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import uvloop

from mesh.config import Config, NetworkSection, RelaySection
from mesh.node import Node
from tools.bench import lines
from tools.soak.node_worker import Complaints, Watched

LISTEN = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
PEERS_OF_ONE_HOST = 1000
"""All peers of the soak come from one address."""


class WatchedRelay(Watched):
    """Tells of its reservations and circuits, too."""

    def __init__(self, node: Node, complaints: Complaints) -> None:
        super().__init__(node, complaints)
        self._relay = node

    async def sample(self) -> dict[str, Any]:
        """What the process uses now, and what its relay has passed on and counted."""
        relaying = self._relay.relaying
        assert relaying is not None
        assert relaying.server is not None
        server = relaying.server
        counters = self._relay.counters.snapshot()
        return await super().sample() | {
            "reservations": len(server.reservations),
            "circuits": server.reservations.circuits,
            "transferred_bytes": server.transferred_bytes,
            "counters": {name: value for name, value in counters.items() if name.startswith("relay.")},
        }


async def main(circuit_s: float, circuit_bytes: int) -> None:
    """Serve until the end of the input."""
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    limits = RelaySection(
        serve=True,
        max_reservations_per_ip=PEERS_OF_ONE_HOST,
        circuit_s=circuit_s,
        circuit_bytes=circuit_bytes,
    )
    async with Node(Config(network=NetworkSection(listen=LISTEN), relay=limits)) as node:
        lines.say(
            {"event": "ready", "peer": str(node.peer_id), "addrs": [str(each) for each in node.listen_addrs]}
        )
        await lines.serve(WatchedRelay(node, complaints).commands)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(float(sys.argv[1]), int(sys.argv[2])))
