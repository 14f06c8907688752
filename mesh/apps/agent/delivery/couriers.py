"""One courier for each peer that something waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mesh.apps.agent.delivery import outbox, proofs
from mesh.apps.agent.delivery.courier import Courier, Desk
from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.network.scope import Scope

log = logging.getLogger(__name__)


class Couriers:
    """Starts couriers when something waits and forgets them when nothing does."""

    def __init__(self, desk: Desk, scope: Scope) -> None:
        self._desk = desk
        self._scope = scope
        self._by_peer: dict[PeerId, Courier] = {}

    async def start(self) -> None:
        """Go on with what a former run of the program left. Raises `StorageError`."""
        await self._desk.journal.write(outbox.release_all)
        await self.look()

    async def look(self) -> None:
        """Send couriers to all that something waits for. Raises `StorageError`."""
        for peers in (outbox.peers_waited_for, proofs.peers_to_tell):
            self._hurry_all(await self._desk.journal.read(peers))

    def hurry(self, peer: PeerId) -> None:
        """Something waits for a peer now."""
        courier = self._by_peer.get(peer)
        if courier is not None:
            courier.hurry()
        elif not self._scope.closing:
            courier = self._by_peer[peer] = Courier(self._desk, peer)
            self._scope.spawn(self._run(peer, courier), f"courier to {peer.short()}")

    def arrived(self, peer: PeerId) -> None:
        """A peer has connected: what waits for it is tried at once."""
        courier = self._by_peer.get(peer)
        if courier is not None:
            courier.hurry(connected=True)
        else:
            self.hurry(peer)

    def outlook(self, peer: PeerId) -> tuple[str, int]:
        """Why the last attempt at a peer failed, and when the next one is; empty and 0 where there is nothing to say."""
        courier = self._by_peer.get(peer)
        return ("", 0) if courier is None else (courier.problem, courier.next_ms)

    def _hurry_all(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                peer = PeerId.parse(name)
            except DecodeError:
                log.error("the outbox names a peer that is none: %.64s", name)
                continue
            if peer not in self._by_peer:
                self.hurry(peer)

    async def _run(self, peer: PeerId, courier: Courier) -> None:
        try:
            await courier.run()
        finally:
            del self._by_peer[peer]
