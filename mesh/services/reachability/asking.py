"""When connected peers are asked about this node's addresses, and which of them.

Nobody is dialled for it, and nothing is asked while the node listens on its own machine alone. Version 2 goes first; the
one verdict of version 1 is asked for while no connected peer serves version 2.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_loopback, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.autonat.address_states import AddressStates
from mesh.protocols.autonat.confidence import RETRY_S, Confidence, Reachability
from mesh.services.autonat.v1_client import ask_v1
from mesh.services.autonat.v1_server import PROTOCOL_ID as V1_ID
from mesh.services.autonat.v2_client import V2Client
from mesh.services.autonat.v2_server import DIAL_REQUEST_ID
from mesh.services.reachability.host import Host
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

IDLE_S: Final = 60.0
"""The longest rest: what is connected and where we listen is looked at anew after it."""
SHORTEST_S: Final = 0.05
SETTLE_S: Final = 2.0
"""From a change until a question: peers and addresses come several at a time."""


class Asking:
    """Keeps ``states`` and ``confidence`` up to date. ``candidates`` gives the addresses worth asking about, ``changed``
    is called when a verdict changes. ``anywhere`` counts private addresses and peers."""

    def __init__(
        self,
        host: Host,
        client: V2Client,
        candidates: Callable[[], list[Multiaddr]],
        changed: Callable[[], None],
        counters: Counters,
        *,
        anywhere: bool,
    ) -> None:
        self._host = host
        self._client = client
        self._candidates = candidates
        self._changed = changed
        self._counters = counters
        self._anywhere = anywhere
        self._awake = asyncio.Event()
        self._asked_v1: dict[PeerId, float] = {}
        self.states = AddressStates()
        self.confidence = Confidence(time.monotonic())
        self.settle_s = SETTLE_S

    def hurry(self) -> None:
        """Something changed: peers or addresses."""
        self._awake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            rest = await self.step()
            try:
                async with asyncio.timeout(rest):
                    await self._awake.wait()
                self._awake.clear()
                await asyncio.sleep(self.settle_s)
            except TimeoutError:
                continue

    async def step(self) -> float:
        """Ask once, if anything is to be asked; returns the seconds until the next look."""
        now = time.monotonic()
        if not self.listens_beyond:
            return IDLE_S
        self.states.track(self._candidates(), now)
        servers = self._servers(DIAL_REQUEST_ID)
        chosen = self.states.choose([each.to_bytes() for each in servers], now)
        if chosen is not None:
            await self._ask_v2(servers[PeerId.from_bytes(chosen[0])], chosen[1])
        elif not servers and now >= self.confidence.deadline() and (server := self._next_v1()):
            await self._ask_v1(server)
        return self._rest(bool(servers))

    @property
    def listens_beyond(self) -> bool:
        """Whether anybody outside this machine could dial at all."""
        if self._anywhere:
            return True
        return any(not is_loopback(each) and not each.has("p2p-circuit") for each in self._host.listening)

    @property
    def servers(self) -> int:
        """Connected peers that could be asked."""
        return len(self._servers(DIAL_REQUEST_ID).keys() | self._servers(V1_ID).keys())

    # -- within ------------------------------------------------------------------------------------------------------

    def _rest(self, has_v2: bool) -> float:
        """What is due and cannot be asked waits for somebody new, who wakes this."""
        deadline = self.states.deadline() if has_v2 else self.confidence.deadline()
        rest = IDLE_S if deadline is None else deadline - time.monotonic()
        if rest <= 0 and not self._can_ask(has_v2):
            return IDLE_S
        return max(SHORTEST_S, min(rest, IDLE_S))

    def _can_ask(self, has_v2: bool) -> bool:
        if not has_v2:
            return self._next_v1() is not None
        names = [each.to_bytes() for each in self._servers(DIAL_REQUEST_ID)]
        return self.states.choose(names, time.monotonic()) is not None

    def _next_v1(self) -> Connection | None:
        """A peer to ask for version 1's verdict: none twice within 90 s."""
        servers, now = self._servers(V1_ID), time.monotonic()
        self._asked_v1 = {peer: at for peer, at in self._asked_v1.items() if now - at < RETRY_S}
        return next((each for peer, each in servers.items() if peer not in self._asked_v1), None)

    def _servers(self, protocol: str) -> dict[PeerId, Connection]:
        """Connected peers that serve it, in random order; those on this network cannot see us as others do."""
        found: dict[PeerId, Connection] = {}
        for connection in self._host.swarm.connections:
            usable = (
                connection.usable
                and connection.limited is None
                and protocol in (connection.remote_protocols or ())
            )
            if usable and (self._anywhere or is_public(connection.remote)):
                found[connection.peer] = connection
        shuffled = list(found.items())
        random.shuffle(shuffled)
        return dict(shuffled)

    async def _ask_v2(self, server: Connection, addresses: list[Multiaddr]) -> None:
        try:
            found = await self._client.ask(server, addresses)
        except MeshError as error:
            log.debug("AutoNAT: %s: %s", server.peer, error)
            self._counters.count(f"autonat.v2_asked:{error.code}")
            self.states.refuse(addresses, time.monotonic())
            return
        now = time.monotonic()
        if found is None or found.reached is None:
            self._counters.count("autonat.v2_asked:no answer")
            self.states.refuse(addresses if found is None else [found.address], now)
            return
        self._counters.count(f"autonat.v2_asked:{'reached' if found.reached else 'not reached'}")
        if self.states.note(found.address, server.peer.to_bytes(), found.reached, now):
            self._changed()

    async def _ask_v1(self, server: Connection) -> None:
        self._asked_v1[server.peer] = time.monotonic()
        answer = Reachability.UNKNOWN
        try:
            answer = await ask_v1(server, self._host.peer_id, self._host.listening)
            self._counters.count(f"autonat.v1_asked:{answer.value}")
        except MeshError as error:
            log.debug("AutoNAT: %s: %s", server.peer, error)
            self._counters.count(f"autonat.v1_asked:{error.code}")
        if self.confidence.note(answer, time.monotonic()):
            self._changed()
