"""The program that the test kills: a node that sends without end to the address it was given."""

from __future__ import annotations

import asyncio
import sys

from mesh.config import Config, NetworkSection
from mesh.node import Node


async def main(address: str, protocol: str) -> None:
    async with Node(Config(network=NetworkSection(listen=()))) as node:
        stream = await node.open(address, protocol)
        while True:
            await stream.write(bytes(65536))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
