"""A node of this project that serves every protocol of the catalogue, as a process (`-m tools.conformance.ourselves`).

It prints one line, `ready`, as the peers of other implementations do, and ends with its input. `changed` is the same,
broken or made odd in one way (`mutants`, `variants`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from mesh.config import Config
from mesh.node import Node

LISTEN = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
TOPIC = "conform"
MANY_CONNECTIONS = "source.burst_ipv4=1000000"
"""From one address: the harness makes one or more a case."""


def serving_config(listen: Sequence[str] = LISTEN) -> Config:
    """Default settings, with every protocol of the catalogue on."""
    config = Config()
    return replace(
        config,
        autonat=replace(config.autonat, serve=True),
        dcutr=replace(config.dcutr, enabled=True),
        gossip=replace(config.gossip, enabled=True),
        kademlia=replace(config.kademlia, mode="server", addresses="all"),
        limits=replace(config.limits, overrides=(MANY_CONNECTIONS,)),
        network=replace(config.network, listen=tuple(listen)),
        relay=replace(config.relay, serve=True, auto=True, always=True, wanted=8),
        services=replace(config.services, serve=("perf",)),
    )


@contextlib.asynccontextmanager
async def serving_node(listen: Sequence[str] = LISTEN) -> AsyncIterator[Node]:
    """Such a node, in a topic."""
    async with Node(serving_config(listen)) as node, node.pubsub.join(TOPIC) as topic:
        topic.subscribe()
        yield node


async def serve(listen: Sequence[str]) -> None:
    """Until the end of the input."""
    async with serving_node(listen) as node:
        addresses = [str(each) for each in node.listen_addrs]
        sys.stdout.write(json.dumps({"event": "ready", "peer": str(node.peer_id), "addrs": addresses}) + "\n")
        sys.stdout.flush()
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", action="append", default=[])
    options = parser.parse_args()
    asyncio.run(serve(options.listen or LISTEN))


if __name__ == "__main__":
    main()
