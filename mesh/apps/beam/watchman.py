"""Probes of the providers in use, and who of several providers is to be asked first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mesh.apps.beam.paths import Paths
from mesh.apps.beam.tunnel_server import PROBE_PROTOCOL
from mesh.codecs.beam import MAX_ANSWER_BYTES, Opening, TunnelAnswer, TunnelStatus
from mesh.errors import MeshError, PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.health import ServiceHealth

log = logging.getLogger(__name__)

PROBE_LIMIT_S: Final = 5.0
MAX_PLACES: Final = 4096
AT_ONCE: Final = 8

Place = tuple[str, PeerId]


class TunnelRefused(PeerError):  # noqa: N818 - a condition, as the code names it
    """The provider does not open a tunnel; ``wire_code`` is its status."""

    code = "tunnel-refused"


class Watchman:
    """``paths`` gives the way to a peer as it is chosen now; ``on_unreachable`` gets a provider that has not answered so
    often that it is unhealthy, and why."""

    def __init__(self, paths: Callable[[], Paths], on_unreachable: Callable[[PeerId, str], None]) -> None:
        self._paths = paths
        self._on_unreachable = on_unreachable
        self._health: dict[Place, ServiceHealth] = {}

    def health(self, service_id: str, peer: PeerId) -> ServiceHealth:
        """What is known of a provider; kept for the 4,096 asked for last."""
        place = (service_id, peer)
        found = self._health.pop(place, None) or ServiceHealth()
        self._health[place] = found
        if len(self._health) > MAX_PLACES:
            del self._health[next(iter(self._health))]
        return found

    def ranked(self, service_id: str, peers: Iterable[PeerId]) -> list[PeerId]:
        """Who is to be asked first, by health and then by how soon it answers."""
        return sorted(peers, key=lambda each: (self.health(service_id, each).rank, each))

    async def probe(self, service_id: str, peer: PeerId, addresses: Sequence[Multiaddr]) -> ServiceHealth:
        """Ask a provider whether it would serve; its health afterwards."""
        health = self.health(service_id, peer)
        began = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_LIMIT_S):
                await self._ask(service_id, peer, addresses)
        except (MeshError, TimeoutError) as error:
            cause = str(error) or f"no answer within {PROBE_LIMIT_S:g} s"
            if health.failed(cause):
                log.info("%s at %s is unhealthy: %s", service_id, peer, cause)
                if not isinstance(error, TunnelRefused):
                    self._on_unreachable(peer, cause)
        else:
            health.answered(time.monotonic() - began, time.time())
        return health

    async def probe_all(self, places: Iterable[tuple[str, PeerId, Sequence[Multiaddr]]]) -> None:
        """Probe several, some at a time."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(service_id: str, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
            async with turns:
                await self.probe(service_id, peer, addresses)

        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(one(*place))

    async def _ask(self, service_id: str, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        stream = await self._paths().open(peer, addresses, PROBE_PROTOCOL)
        try:
            await stream.write_message(Opening(service_id=service_id).encode())
            check_answer(await stream.read_message(MAX_ANSWER_BYTES), peer)
            await stream.close()
        except BaseException:
            stream.reset()
            raise


def check_answer(data: bytes, peer: PeerId) -> None:
    """Raises `TunnelRefused` for an answer that is no OK, `DecodeError` for none at all."""
    answer = TunnelAnswer.decode(data)
    if answer.status != TunnelStatus.OK:
        known = {each.value: each.name.lower().replace("_", " ") for each in TunnelStatus}
        name = known.get(answer.status, f"status {answer.status}")
        raise TunnelRefused(f"{peer} refuses: {name}: {answer.reason}", wire_code=answer.status)


def timed_out(peer: PeerId, limit_s: float) -> TimedOut:
    """A provider that said nothing."""
    return TimedOut(f"{peer} did not open a tunnel within {limit_s:g} s")
