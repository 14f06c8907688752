"""A name server on loopback, for TXT records that change while a test runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import dns.message
import dns.rrset

from mesh.node import Node


class NameServer(asyncio.DatagramProtocol):
    """Answers TXT questions from ``texts``; other names do not exist. ``asked`` counts the questions."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.asked = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked += 1
        query = dns.message.from_wire(data)
        (question,) = query.question
        answer = dns.message.make_response(query)
        found = self.texts.get(question.name.to_text(omit_final_dot=True))
        if found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            quoted = [f'"{text}"' for text in found]
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "TXT", *quoted))
        self._transport.sendto(answer.to_wire(), address)

    def serve(self, node: Node) -> None:
        """Have a running node ask here."""
        node.swarm.resolver._nameservers = (f"127.0.0.1:{self.port}",)

    def close(self) -> None:
        self._transport.close()


@contextlib.asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """One that runs."""
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        server.close()
