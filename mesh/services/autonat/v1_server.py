"""Version 1, serving: dial the asker's own host at the ports it names, and say whether that worked (autonat-v1.md)."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from mesh.codecs.autonat import MAX_V1_BYTES, DialResponseV1, MessageV1, PeerV1, StatusV1, TypeV1
from mesh.errors import MeshError, PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.protocols.autonat.choice import candidates_v1
from mesh.protocols.autonat.limits import WindowLimits
from mesh.services.autonat.dialing import DialBack
from mesh.telemetry.counters import Counters

PROTOCOL_ID: Final = "/libp2p/autonat/1.0.0"
STREAM_S: Final = 60.0
DIAL_S: Final = 15.0


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """The request gets this status and text instead of a dial."""

    def __init__(self, status: StatusV1, text: str) -> None:
        super().__init__(text)
        self.status = status


class V1Server:
    """``dial_s`` is the time of a dial; a failure is told only when it is over, so that nobody learns from the time an
    answer takes what stands in another's network. ``anywhere`` serves private askers too."""

    def __init__(self, dialing: DialBack, counters: Counters, *, anywhere: bool) -> None:
        self._dialing = dialing
        self._counters = counters
        self._anywhere = anywhere
        self._limits = WindowLimits(random.random, time.monotonic())
        self.dial_s = DIAL_S

    async def serve(self, stream: Stream) -> None:
        """Answer one request. Raises `PeerError` for anything but a request, which resets the stream."""
        try:
            async with asyncio.timeout(STREAM_S):
                message = MessageV1.decode(await stream.read_message(MAX_V1_BYTES))
                if message.type is not TypeV1.DIAL:
                    raise PeerError("AutoNAT: not a request to dial", protocol=PROTOCOL_ID)
                answer = await self._answer(stream, message)
                self._counters.count(f"autonat.v1_answered:{StatusV1(answer.status or 0).name.lower()}")
                await stream.write_message(MessageV1(TypeV1.DIAL_RESPONSE, dial_response=answer).encode())
        except TimeoutError:
            raise TimedOut(f"AutoNAT: the request was not finished within {STREAM_S:g} s") from None

    async def _answer(self, stream: Stream, message: MessageV1) -> DialResponseV1:
        asker = message.dial.peer if message.dial is not None else None
        try:
            return await self._dial(stream.connection.peer, stream.connection.remote, asker)
        except Refusal as refusal:
            return DialResponseV1(refusal.status, str(refusal))

    async def _dial(self, peer: PeerId, observed: Multiaddr, asker: PeerV1 | None) -> DialResponseV1:
        if asker is None:
            raise Refusal(StatusV1.E_BAD_REQUEST, "missing peer info")
        if asker.id and asker.id != peer.to_bytes():
            raise Refusal(StatusV1.E_BAD_REQUEST, "peer id mismatch")
        addresses = candidates_v1(
            observed,
            asker.addrs,
            lambda address: self._dialing.can_dial(peer, address),
            anywhere=self._anywhere,
        )
        if not addresses:
            raise Refusal(StatusV1.E_DIAL_REFUSED, "no dialable addresses")
        if not self._limits.accept(peer.to_bytes(), time.monotonic()):
            raise Refusal(StatusV1.E_DIAL_REFUSED, "too many dials")
        ends_at = time.monotonic() + self.dial_s
        try:
            connection = await self._dialing.reach(peer, addresses, self.dial_s)
        except MeshError:
            await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
            return DialResponseV1(StatusV1.E_DIAL_ERROR, "dial failed")
        reached = connection.remote.to_bytes()
        await connection.close()
        return DialResponseV1(StatusV1.OK, addr=reached)
