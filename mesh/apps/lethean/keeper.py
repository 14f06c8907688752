"""Keeping connections to chosen peers: dialled at start, and again after every end, ever less often."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Final

from mesh.apps.lethean.link import Link
from mesh.apps.lethean.node import LetheanNode
from mesh.errors import DialError

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
JITTER: Final = 0.25


class Keeper:
    """Peers as ``NODE-ID@HOST:PORT`` or ``HOST:PORT``; pauses double from ``first_pause_s`` on, a link resets them."""

    def __init__(
        self, node: LetheanNode, peers: Sequence[str], *, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._node = node
        self._peers = [split_peer(each) for each in peers]
        self._first_pause_s = first_pause_s
        self._ended: dict[str, asyncio.Event] = {}

    def start(self) -> None:
        """Begin, in the node's scope."""
        self._node.on_change(self._changed)
        for peer_id, address in self._peers:
            self._node.scope.spawn(self._keep(peer_id, address), f"keeping {peer_id or address}")

    async def _keep(self, peer_id: str, address: str) -> None:
        pause_s = self._first_pause_s
        while True:
            try:
                link = await self._node.connect(address, peer_id)
            except DialError as error:
                log.info("%s", error)
            else:
                peer_id = link.peer.id
                pause_s = self._first_pause_s
                await self._until_ended(link)
                log.info("the connection to %s ended", peer_id)
            await asyncio.sleep(pause_s * random.uniform(1 - JITTER, 1 + JITTER))
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    async def _until_ended(self, link: Link) -> None:
        """Wait until the peer has no link at all."""
        while not link.ended:
            event = self._ended.setdefault(link.peer.id, asyncio.Event())
            event.clear()
            if self._node.links.get(link.peer.id) is None:
                return
            await event.wait()

    def _changed(self, link: Link, begun: bool) -> None:
        event = self._ended.get(link.peer.id)
        if event is not None and not begun:
            event.set()


def split_peer(text: str) -> tuple[str, str]:
    """Node id (empty without one) and address."""
    before, at, after = text.rpartition("@")
    return (before, after) if at else ("", text)
