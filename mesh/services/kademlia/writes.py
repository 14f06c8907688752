"""The same message to several peers at once, and how many took it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia.quorum import Acknowledgements, Outcome


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


OnOutcome = Callable[[object], None]
Send = Callable[[PeerId, OnOutcome], object]
"""Sends to a peer and tells once what became of it: a `MeshError`, or anything else."""


async def write(peers: Sequence[PeerId], send: Send) -> Write:
    """Send to all of ``peers``; returns as soon as a majority took it or none can any more. The rest goes on."""
    result = Write(len(peers))
    votes = Acknowledgements(len(peers))
    decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(peer: PeerId, outcome: object) -> None:
        if isinstance(outcome, MeshError):
            result.refused[peer] = str(outcome)
            vote = votes.refuse()
        else:
            result.accepted.append(peer)
            vote = votes.accept()
        if vote is not Outcome.OPEN and not decided.done():
            decided.set_result(None)

    for peer in peers:
        send(peer, partial(told, peer))
    if peers:
        await decided
    return result
