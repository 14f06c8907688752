"""A dialler of our own that sends what it is told, and a listener that answers so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from mesh.apps.lethean.carrier import Carrier, dial_carrier
from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.instant import message_id, stamp
from mesh.apps.lethean.node import LetheanNode
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import Handshake
from mesh.protocols.lethean.session import Session

PATIENCE_S = 10.0


class RawClient:
    """A WebSocket to a node; after `shake` with the session of its handshake."""

    def __init__(self, carrier: Carrier, own: Own, peer: Own) -> None:
        self.carrier = carrier
        self.own = own
        self.session = Session(own.key.shared_secret(peer.key.public_text))
        self.peer_id = peer.identity.id

    async def shake(self) -> Envelope:
        """The handshake; the listener's answer."""
        asked = Handshake(identity=self.own.identity, challenge=os.urandom(32), version="1.0")
        await self.carrier.send(self.message("handshake", asked).encode().encode(), text=True)
        return await self.clear()

    async def clear(self) -> Envelope:
        """The next message, in clear."""
        async with asyncio.timeout(PATIENCE_S):
            return Envelope.decode(await self.carrier.receive())

    def message(self, type: str, payload: JsonRecord | None = None, id: str = "") -> Envelope:
        return Envelope.of(
            payload,
            id=id or message_id(),
            type=type,
            sender=self.own.identity.id,
            receiver=self.peer_id,
            ts=stamp(),
        )

    def sealed(self, message: Envelope) -> bytes:
        return self.session.seal(message, os.urandom(24), int(time.time()))

    async def send(self, type: str, payload: JsonRecord | None = None, id: str = "") -> Envelope:
        """Seal and send; the message."""
        message = self.message(type, payload, id)
        await self.carrier.send(self.sealed(message))
        return message

    async def receive(self, type: str = "") -> Envelope:
        """The next sealed message, of this type if it names one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = self.session.open(await self.carrier.receive())
                if type in ("", message.type):
                    return message

    async def until_ended(self) -> None:
        """Wait for the end of TCP from the other side."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.carrier.ended:
                with contextlib.suppress(Exception):
                    await self.carrier.receive()


@contextlib.asynccontextmanager
async def raw_client(node: LetheanNode, own: Own) -> AsyncIterator[RawClient]:
    """A WebSocket to a running node, without a handshake yet."""
    carrier = await dial_carrier(*split_address(node.listen_address), timeout_s=PATIENCE_S)
    try:
        yield RawClient(carrier, own, node.own)
    finally:
        carrier.abort("the test is over")
        await carrier.wait_ended(1.0)


@contextlib.asynccontextmanager
async def raw_listener(serve: Callable[[Carrier], Awaitable[Any]]) -> AsyncIterator[str]:
    """The address of a listener that does ``serve`` with each WebSocket."""
    tasks: set[asyncio.Task[Any]] = set()
    carriers: list[Carrier] = []

    async def handle(carrier: Carrier) -> None:
        with contextlib.suppress(Exception):
            await serve(carrier)

    def accept() -> Carrier:
        carriers.append(
            Carrier.listening(lambda: False, lambda carrier: tasks.add(asyncio.create_task(handle(carrier))))
        )
        return carriers[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for carrier in carriers:
            carrier.abort("the test is over")
            await carrier.wait_ended(1.0)
        await asyncio.gather(*tasks)
        await server.wait_closed()
