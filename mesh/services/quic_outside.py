"""What the QUIC socket looks like from outside, for a node whose connection to its relay is of bytes.

QUIC is the better of two ways through a NAT, but who sees this node over TCP alone can tell nothing of it. So a relay in
use that says it listens for QUIC at the same host is connected to that way as well: its identify has the address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import quic_endpoint
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.machine import Role
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

DIAL_S: Final = 5.0
MAX_DIALS_AT_ONCE: Final = 8


class QuicOutside:
    """``outside`` gives the addresses that others see this node at, ``known`` those of a peer."""

    def __init__(
        self,
        swarm: Swarm,
        counters: Counters,
        outside: Callable[[], Iterable[Multiaddr]],
        known: Callable[[PeerId], Iterable[Multiaddr]],
    ) -> None:
        self._swarm = swarm
        self._counters = counters
        self._outside = outside
        self._known = known
        self._asked: dict[PeerId, Connection] = {}
        self._dialling = 0

    def want(self, relay: PeerId, scope: Scope) -> None:
        """A relay is in use: have it see the QUIC socket, if there is one that nobody has seen yet. Once a connection."""
        bare = self._swarm.connection_to(relay, direct=True)
        if bare is None or bare.muxer == "quic" or self._asked.get(relay) is bare:
            return
        if not self._swarm.udp_ports or any(quic_endpoint(each) for each in self._outside()):
            return
        address = self._address(relay, bare)
        if address is not None and self._dialling < MAX_DIALS_AT_ONCE:
            self._asked[relay] = bare
            self._dialling += 1
            scope.spawn(self._dial(relay, address), "quic outside")

    def disconnected(self, connection: Connection) -> None:
        """It may be asked again."""
        if self._asked.get(connection.peer) is connection:
            del self._asked[connection.peer]

    def _address(self, relay: PeerId, bare: Connection) -> Multiaddr | None:
        """Where the relay listens for QUIC on the host of the connection that stands."""
        for name in ("ip4", "ip6"):
            if host := bare.remote.value(name):
                found = (each for each in self._known(relay) if each.value(name) == host)
                return next((each for each in found if quic_endpoint(each) is not None), None)
        return None

    async def _dial(self, relay: PeerId, address: Multiaddr) -> None:
        try:
            await self._swarm.dial_as(relay, address, Role.INITIATOR, DIAL_S)
            self._counters.count("dcutr.quic_outside:asked")
        except MeshError as error:
            self._counters.count("dcutr.quic_outside:failed")
            log.debug("the relay %s is not reached over QUIC: %s", relay, error)
        finally:
            self._dialling -= 1
