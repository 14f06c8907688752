"""The same message to several peers at once, and how many took it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia.quorum import Acknowledgements, Outcome
from mesh.services.kademlia.membership import Spawn


@dataclass(slots=True)
class Write:
    """What became of a write: peers that took it, and why others did not. It may still grow after the quorum."""

    asked: int
    accepted: list[PeerId] = field(default_factory=list)
    refused: dict[PeerId, str] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether a majority of those asked took it."""
        return Acknowledgements(self.asked).needed <= len(self.accepted)


async def write(
    peers: Sequence[PeerId], send: Callable[[PeerId], Coroutine[Any, Any, object]], spawn: Spawn
) -> Write:
    """Send to all of ``peers``; returns as soon as a majority took it or none can any more. The rest goes on.

    When the service ends meanwhile the result is what had come of it by then.
    """
    result = Write(len(peers))
    votes = Acknowledgements(len(peers))
    decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def one(peer: PeerId) -> None:
        try:
            await send(peer)
        except MeshError as error:
            result.refused[peer] = str(error)
            outcome = votes.refuse()
        else:
            result.accepted.append(peer)
            outcome = votes.accept()
        if outcome is not Outcome.OPEN and not decided.done():
            decided.set_result(None)

    left = len(peers)

    def ended(_task: object) -> None:
        nonlocal left
        left -= 1
        if not left and not decided.done():
            decided.set_result(None)

    for peer in peers:
        spawn(one(peer), "kademlia write").add_done_callback(ended)
    if peers:
        await decided
    return result
