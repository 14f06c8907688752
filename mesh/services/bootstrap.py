"""The peers a node begins with: each is dialled until it was reached once, and again when the node stands alone.

A failure is tried again after 1 s, then after pauses that double up to 5 minutes, for ever. Others that were reached
make up for those that are not: nothing waits for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
ALONE_CHECK_S: Final = 30.0


@dataclass(slots=True)
class BootstrapPeer:
    """One of the list. ``failures`` counts those in a row, ``failure`` says why the last one failed."""

    address: Multiaddr
    peer: PeerId | None
    reached: bool = False
    failures: int = 0
    failure: str = ""
    next_at: float = 0.0
    dialling: bool = False

    @property
    def due(self) -> bool:
        """Whether it is to be dialled at ``next_at``."""
        return not self.reached and not self.dialling


class Bootstrap:
    """Keeps at it. ``connect`` dials an address, ``is_connected`` knows about a peer, ``alone`` says that nobody is
    connected."""

    def __init__(
        self,
        addresses: Iterable[str],
        connect: Callable[[Multiaddr], Awaitable[object]],
        is_connected: Callable[[PeerId], bool],
        alone: Callable[[], bool],
    ) -> None:
        self._connect = connect
        self._is_connected = is_connected
        self._alone = alone
        self._awake = asyncio.Event()
        self.peers: dict[Multiaddr, BootstrapPeer] = {}
        for text in addresses:
            self.add(Multiaddr.parse(text))

    def add(self, address: Multiaddr) -> None:
        """Another one, dialled at once; a known one is tried again."""
        data = address.peer_id_bytes()
        self.peers[address] = BootstrapPeer(address, PeerId.from_bytes(data) if data is not None else None)
        self._awake.set()

    def remove(self, address: Multiaddr) -> bool:
        """Forget one; a connection to it stays. Whether it was known."""
        return self.peers.pop(address, None) is not None

    def hurry(self) -> None:
        """Dial everyone that is not connected, now."""
        for each in self.peers.values():
            each.reached = each.peer is not None and self._is_connected(each.peer)
            each.next_at = 0.0
        self._awake.set()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                now = time.monotonic()
                for each in self.peers.values():
                    if each.due and each.next_at <= now:
                        each.dialling = True
                        attempts.create_task(self.attempt(each), name=f"bootstrap {each.address}")
                await self._pause()
                if self._alone():
                    self._begin_again()

    async def attempt(self, peer: BootstrapPeer) -> bool:
        """Dial one now; whether it was reached. What came of it is kept in ``peer``."""
        peer.dialling = True
        try:
            await self._connect(peer.address)
        except MeshError as error:
            pause = min(FIRST_PAUSE_S * 2**peer.failures, LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)
            peer.failures = min(peer.failures + 1, 30)
            peer.failure = str(error)
            peer.next_at = time.monotonic() + pause
            level = logging.WARNING if peer.failures == 1 else logging.INFO
            log.log(level, "bootstrap %s: %s; next try in %.0f s", peer.address, error, pause)
            return False
        finally:
            peer.dialling = False
            self._awake.set()
        peer.reached, peer.failures, peer.failure = True, 0, ""
        peer.next_at = time.monotonic() + ALONE_CHECK_S
        return True

    def _begin_again(self) -> None:
        """Nobody is connected: those that were reached are dialled anew like the others, when their pause is over."""
        for each in self.peers.values():
            each.reached = False

    async def _pause(self) -> None:
        waiting = [each.next_at for each in self.peers.values() if each.due]
        wait = min([each - time.monotonic() for each in waiting], default=ALONE_CHECK_S)
        try:
            async with asyncio.timeout(max(0.0, min(wait, ALONE_CHECK_S))):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()
