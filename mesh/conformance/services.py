"""What the harness answers by itself while a case is about something else: identify, push and ping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mesh.codecs.identify import Identify
from mesh.codecs.multistream import encode_token
from mesh.codecs.ping import PING_BYTES
from mesh.conformance.streams import StreamFlow
from mesh.conformance.verdict import Deviation
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE

IDENTIFY = "/ipfs/id/1.0.0"
PUSH = "/ipfs/id/push/1.0.0"
PING = "/ipfs/ping/1.0.0"
PERF = "/perf/1.0.0"
AGENT_VERSION = "mesh-conform"
MAX_PINGS = 1000

Serve = Callable[[Any], Awaitable[None]]
"""Takes a stream of the kind that its connection has."""


def identify_message(identity: PrivateKey, protocols: Iterable[str]) -> Identify:
    """What the harness says of itself: a key, protocols, no addresses."""
    return Identify(
        public_key=identity.public.to_protobuf(),
        listen_addrs=[],
        protocols=list(protocols),
        observed_addr=None,
        protocol_version="ipfs/0.1.0",
        agent_version=AGENT_VERSION,
        signed_peer_record=None,
    )


def answering_identify(message: Identify) -> Serve:
    """Serve identify with this message."""

    async def serve(stream: StreamFlow) -> None:
        stream.send(delimited.encode(message.encode()))
        stream.finish()

    return serve


async def echo_pings(stream: StreamFlow) -> None:
    """Serve ping until the target has enough."""
    for _ in range(MAX_PINGS):
        stream.send(await stream.exactly(PING_BYTES))


async def take_everything(stream: StreamFlow) -> None:
    """Read a stream to its end, then end it too."""
    await stream.rest()
    stream.finish()


async def respond(stream: StreamFlow, serves: dict[str, Serve]) -> None:
    """Negotiate a stream that the target opened, and serve it. What goes wrong on it ends it and nothing else."""
    try:
        header = await stream.token()
        if header != HEADER:
            stream.reset(0x1001)
            return
        stream.send(encode_token(HEADER))
        while (name := await stream.token()) not in serves:
            stream.send(encode_token(NOT_AVAILABLE))
        stream.send(encode_token(name))
        await serves[name](stream)
    except Deviation:
        if stream.ending is None:
            stream.reset()
