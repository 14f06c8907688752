"""Version 2, asking: addresses, one of which the server dials and tells our nonce at (autonat-v2.md)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.autonat import (
    MAX_DIAL_BACK_BYTES,
    MAX_V2_BYTES,
    DialBackResponse,
    DialDataRequest,
    DialDataResponse,
    DialRequest,
    DialResponse,
    DialStatus,
    MessageV2,
    ResponseStatus,
)
from mesh.codecs.autonat import DialBack as NonceTold
from mesh.errors import PeerError, TimedOut
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.autonat.choice import MAX_DATA_BYTES
from mesh.protocols.autonat.nonces import Issued, Nonces, is_expected
from mesh.services.autonat.v2_server import DIAL_REQUEST_ID, MAX_PIECE_BYTES
from mesh.telemetry.counters import Counters

ASK_S: Final = 30.0
ARRIVAL_S: Final = 5.0
DIAL_BACK_S: Final = 5.0
_PIECE: Final = MessageV2(dial_data_response=DialDataResponse(bytes(MAX_PIECE_BYTES))).encode()


@dataclass(frozen=True, slots=True)
class Found:
    """What a server found at one address; ``reached`` None: it would not say, or its word is not proved."""

    address: Multiaddr
    reached: bool | None


class V2Client:
    """Asks, and takes the dial-backs. ``arrival_s`` is how long a nonce may come after the server said it told it."""

    def __init__(self, counters: Counters) -> None:
        self._nonces = Nonces()
        self._arrivals: dict[int, asyncio.Event] = {}
        self._counters = counters
        self.arrival_s = ARRIVAL_S

    async def ask(self, connection: Connection, addresses: Sequence[Multiaddr]) -> Found | None:
        """What the server found; None when it refused. Raises `TimedOut`, `PeerError`, `Malformed`, `Closed`."""
        nonce = secrets.randbits(64)
        issued = self._nonces.issue(nonce, addresses)
        arrived = self._arrivals[nonce] = asyncio.Event()
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._exchange(connection, nonce, addresses)
                if answer.status != ResponseStatus.OK:
                    self._counters.count("autonat.v2_refused")
                    return None
                return await self._judge(answer, addresses, issued, arrived)
        except TimeoutError:
            raise TimedOut(f"AutoNAT: {connection.peer} did not answer within {ASK_S:g} s") from None
        finally:
            self._nonces.forget(nonce)
            del self._arrivals[nonce]

    async def serve_dial_back(self, stream: Stream) -> None:
        """A nonce is told us. Raises `PeerError` for one that is not ours or came the wrong way: a reset answers it."""
        try:
            async with asyncio.timeout(DIAL_BACK_S):
                told = NonceTold.decode(await stream.read_message(MAX_DIAL_BACK_BYTES))
                if self._nonces.arrive(told.nonce, stream.connection.local) is None:
                    self._counters.count("autonat.dial_back:unknown nonce")
                    raise PeerError("AutoNAT: a nonce that was not asked for", protocol=stream.protocol)
                self._counters.count("autonat.dial_back:taken")
                self._arrivals[told.nonce].set()
                await stream.write_message(DialBackResponse().encode())
        except TimeoutError:
            raise TimedOut(f"AutoNAT: no nonce within {DIAL_BACK_S:g} s") from None

    async def _exchange(
        self, connection: Connection, nonce: int, addresses: Sequence[Multiaddr]
    ) -> DialResponse:
        request = DialRequest([each.to_bytes() for each in addresses], nonce)
        async with await connection.open([DIAL_REQUEST_ID]) as stream:
            await stream.write_message(MessageV2(dial_request=request).encode())
            message = MessageV2.decode(await stream.read_message(MAX_V2_BYTES))
            if message.dial_data_request is not None:
                await self._pay(stream, message.dial_data_request, len(addresses))
                message = MessageV2.decode(await stream.read_message(MAX_V2_BYTES))
        if message.dial_response is None:
            raise PeerError(
                f"AutoNAT: {connection.peer} answered with something else", protocol=DIAL_REQUEST_ID
            )
        return message.dial_response

    async def _pay(self, stream: Stream, price: DialDataRequest, asked: int) -> None:
        if price.num_bytes > MAX_DATA_BYTES or price.addr_idx >= asked:
            raise PeerError(f"AutoNAT: {price.num_bytes} bytes are asked for", protocol=DIAL_REQUEST_ID)
        self._counters.count("autonat.v2_paid")
        due = price.num_bytes
        while due >= MAX_PIECE_BYTES:
            await stream.write_message(_PIECE)
            due -= MAX_PIECE_BYTES
        if due:
            await stream.write_message(MessageV2(dial_data_response=DialDataResponse(bytes(due))).encode())

    async def _judge(
        self, answer: DialResponse, addresses: Sequence[Multiaddr], issued: Issued, arrived: asyncio.Event
    ) -> Found:
        """The nonce proves that an address was reached; that it was not, the server's word must do for."""
        if answer.addr_idx >= len(addresses):
            raise PeerError("AutoNAT: an address that was not asked about", protocol=DIAL_REQUEST_ID)
        address = addresses[answer.addr_idx]
        if answer.dial_status == DialStatus.E_DIAL_ERROR:
            return Found(address, reached=False)
        if answer.dial_status == DialStatus.OK and issued.arrived is None:
            try:
                async with asyncio.timeout(self.arrival_s):
                    await arrived.wait()
            except TimeoutError:
                self._counters.count("autonat.v2_unproved")
        proved = issued.arrived is not None and is_expected(issued.arrived, address)
        return Found(address, reached=True if proved else None)
