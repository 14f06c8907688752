"""Version 2, serving: dial one address and tell a nonce there (autonat-v2.md).

No use to attack others with: a dial to a host that is not the asker's costs the asker more bytes than the handshake, and
comes after a random while; so many in a minute, and not from the node's own sockets.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from mesh.codecs.autonat import (
    MAX_V2_BYTES,
    DialDataRequest,
    DialRequest,
    DialResponse,
    DialStatus,
    MessageV2,
    ResponseStatus,
)
from mesh.codecs.autonat import DialBack as NonceTold
from mesh.errors import MeshError, PeerError, TimedOut
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.autonat.choice import Chosen, choose_v2, price_bytes
from mesh.protocols.autonat.limits import RollingLimits
from mesh.services.autonat.dialing import DialBack
from mesh.telemetry.counters import Counters

DIAL_REQUEST_ID: Final = "/libp2p/autonat/2/dial-request"
DIAL_BACK_ID: Final = "/libp2p/autonat/2/dial-back"
REQUEST_S: Final = 15.0
DIAL_S: Final = 10.0
DIAL_BACK_S: Final = 5.0
MAX_DELAY_S: Final = 3.0
MIN_PIECE_BYTES: Final = 100
MAX_PIECE_BYTES: Final = 4096


class V2Server:
    """``max_delay_s`` is the longest random wait before a paid dial, ``dial_back_s`` how long an answer to a nonce is
    waited for. ``anywhere`` dials private addresses too."""

    def __init__(self, dialing: DialBack, counters: Counters, *, anywhere: bool) -> None:
        self._dialing = dialing
        self._counters = counters
        self._anywhere = anywhere
        self._limits = RollingLimits()
        self.max_delay_s = MAX_DELAY_S
        self.dial_back_s = DIAL_BACK_S

    async def serve(self, stream: Stream) -> None:
        """Answer one request. Raises `PeerError` for what is none, which resets the stream."""
        peer = stream.connection.peer.to_bytes()
        if not self._limits.begin(peer, time.monotonic()):
            await self._reply(stream, DialResponse(ResponseStatus.E_REQUEST_REJECTED))
            return
        try:
            async with asyncio.timeout(REQUEST_S + self.dial_back_s):
                await self._reply(stream, await self._answer(stream))
        except TimeoutError:
            raise TimedOut(f"AutoNAT: the request was not finished within {REQUEST_S:g} s") from None
        finally:
            self._limits.end(peer)

    async def _reply(self, stream: Stream, answer: DialResponse) -> None:
        status = ResponseStatus(answer.status).name.lower()
        if answer.status == ResponseStatus.OK:
            status = f"dialled {DialStatus(answer.dial_status).name.lower()}"
        self._counters.count(f"autonat.v2_answered:{status}")
        await stream.write_message(MessageV2(dial_response=answer).encode())

    async def _answer(self, stream: Stream) -> DialResponse:
        request = await self._read_request(stream)
        connection = stream.connection
        chosen = choose_v2(
            connection.remote,
            request.addrs,
            lambda address: self._dialing.can_dial(connection.peer, address),
            anywhere=self._anywhere,
        )
        if chosen is None:
            return DialResponse(ResponseStatus.E_DIAL_REFUSED)
        if chosen.priced:
            if not self._limits.accept_data(time.monotonic()):
                return DialResponse(ResponseStatus.E_REQUEST_REJECTED)
            await self._take_price(stream, chosen)
            await asyncio.sleep(random.uniform(0, self.max_delay_s))
        status = await self._dial(connection, chosen, request.nonce)
        return DialResponse(ResponseStatus.OK, chosen.index, status)

    async def _read_request(self, stream: Stream) -> DialRequest:
        message = MessageV2.decode(await stream.read_message(MAX_V2_BYTES))
        others = (message.dial_response, message.dial_data_request, message.dial_data_response)
        if message.dial_request is None or any(each is not None for each in others):
            raise PeerError("AutoNAT: not a request to dial", protocol=DIAL_REQUEST_ID)
        return message.dial_request

    async def _take_price(self, stream: Stream, chosen: Chosen) -> None:
        """Ask for data and read them. Raises `PeerError` for pieces too small to be meant, and for other messages."""
        due = price_bytes(random.random())
        self._counters.count("autonat.v2_priced")
        await stream.write_message(MessageV2(dial_data_request=DialDataRequest(chosen.index, due)).encode())
        while due > 0:
            piece = MessageV2.decode(await stream.read_message(MAX_V2_BYTES)).dial_data_response
            size = 0 if piece is None else len(piece.data)
            if piece is None or size < min(MIN_PIECE_BYTES, due) or size > MAX_PIECE_BYTES:
                raise PeerError(f"AutoNAT: a piece of {size} bytes", protocol=DIAL_REQUEST_ID)
            due -= size

    async def _dial(self, asker: Connection, chosen: Chosen, nonce: int) -> DialStatus:
        try:
            connection = await self._dialing.reach(asker.peer, [chosen.address], DIAL_S)
        except MeshError:
            return DialStatus.E_DIAL_ERROR
        try:
            return await self._tell(connection, nonce)
        finally:
            await connection.close()

    async def _tell(self, connection: Connection, nonce: int) -> DialStatus:
        """Tell the nonce. Its receipt is waited for, so that closing does not overtake it, but not asked for."""
        told = False
        try:
            async with asyncio.timeout(self.dial_back_s), await connection.open([DIAL_BACK_ID]) as stream:
                await stream.write_message(NonceTold(nonce).encode())
                await stream.close_write()
                told = True
                await stream.read()
        except (TimeoutError, MeshError):
            pass
        return DialStatus.OK if told else DialStatus.E_DIAL_BACK_ERROR
