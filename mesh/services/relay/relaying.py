"""A node's part in relaying, as its settings have it: a relay, a user of relays, both or neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from mesh.config import RelaySection
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.relay import Limit, Settings
from mesh.services.registry import Registry
from mesh.services.relay.client import RelayClient
from mesh.services.relay.server import RelayServer
from mesh.telemetry.counters import Counters


class Relaying:
    """``server`` and ``client`` are None where the settings do not want them."""

    def __init__(
        self,
        settings: RelaySection,
        key: PrivateKey,
        swarm: Swarm,
        registry: Registry,
        counters: Counters,
        addresses: Callable[[], Iterable[Multiaddr]],
        on_change: Callable[[], None],
    ) -> None:
        self.server: RelayServer | None = None
        self.client: RelayClient | None = None
        if settings.serve:
            limits = relay_settings(settings)
            self.server = RelayServer(swarm, key, limits, registry, counters, addresses)
        if settings.relays or settings.auto:
            self.client = RelayClient(
                swarm,
                settings.relays,
                settings.wanted,
                settings.auto,
                settings.always,
                settings.check_s,
                registry,
                counters,
                on_change,
            )

    async def start(self, scope: Scope) -> None:
        """Begin to serve and to ask."""
        if self.server is not None:
            self.server.start()
        if self.client is not None:
            await self.client.start(scope)

    async def stop(self) -> None:
        """Take and ask no more."""
        if self.client is not None:
            await self.client.stop()
        if self.server is not None:
            self.server.stop()

    def set_reachability(self, public: bool | None) -> None:
        """Whether others reach this node without a relay; None for unknown."""
        if self.client is not None:
            self.client.set_reachability(public)

    def network_changed(self) -> None:
        """This machine's addresses are others now."""
        if self.client is not None:
            self.client.network_changed()

    def identified(self, connection: Connection) -> None:
        """A peer said what it speaks."""
        if self.client is not None:
            self.client.identified(connection)


def relay_settings(section: RelaySection) -> Settings:
    """The limits of a relay; the protocol counts whole seconds."""
    return Settings(
        max_reservations=section.max_reservations,
        reservation_s=section.reservation_s,
        max_reservations_per_ip=section.max_reservations_per_ip,
        max_circuits_per_peer=section.max_circuits_per_peer,
        circuit=Limit(math.ceil(section.circuit_s), section.circuit_bytes),
    )
