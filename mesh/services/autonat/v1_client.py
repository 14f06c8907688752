"""Version 1, asking: one peer, one verdict on the node as a whole (autonat-v1.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from mesh.codecs.autonat import MAX_V1_BYTES, DialV1, MessageV1, PeerV1, StatusV1, TypeV1
from mesh.errors import PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.autonat.confidence import Reachability
from mesh.services.autonat.v1_server import PROTOCOL_ID

ASK_S: Final = 60.0
MAX_TOLD: Final = 16

_VERDICTS: Final[dict[int, Reachability]] = {
    StatusV1.OK: Reachability.PUBLIC,
    StatusV1.E_DIAL_ERROR: Reachability.PRIVATE,
}


async def ask_v1(connection: Connection, own: PeerId, addresses: Sequence[Multiaddr]) -> Reachability:
    """What the peer found: public, private, or unknown when it would not dial.

    Raises `TimedOut`, `PeerError`, `Malformed`, `Closed`.
    """
    told = [each.to_bytes() for each in addresses[:MAX_TOLD]]
    request = MessageV1(TypeV1.DIAL, DialV1(PeerV1(own.to_bytes(), told)))
    try:
        async with asyncio.timeout(ASK_S), await connection.open([PROTOCOL_ID]) as stream:
            await stream.write_message(request.encode())
            message = MessageV1.decode(await stream.read_message(MAX_V1_BYTES))
    except TimeoutError:
        raise TimedOut(f"AutoNAT: {connection.peer} did not answer within {ASK_S:g} s") from None
    answer = message.dial_response
    if message.type is not TypeV1.DIAL_RESPONSE or answer is None or answer.status is None:
        raise PeerError(f"AutoNAT: {connection.peer} answered with something else", protocol=PROTOCOL_ID)
    return _VERDICTS.get(answer.status, Reachability.UNKNOWN)
