"""To whom a message goes, and to whom one is sent (sections 8 to 10).

Go has one place for a handler and so is controller or worker; we are both: answers go to the requests that wait, commands
to the worker, all else is ignored without an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from mesh.protocols.lethean.envelope import Envelope

COMMANDS: Final = frozenset(["ping", "get_stats", "start_miner", "stop_miner", "get_logs", "deploy"])
"""The types a worker answers."""

GUARDED: Final = frozenset(["start_miner", "stop_miner", "deploy"])
"""Those that want a permission."""


class Route(Enum):
    """Where a message belongs."""

    ANSWER = "answer"
    COMMAND = "command"
    NOBODY = "nobody"


def route(message: Envelope) -> Route:
    """Where a message that arrived belongs: anything with `replyTo` is an answer, wanted or not."""
    if message.reply_to:
        return Route.ANSWER
    return Route.COMMAND if message.type in COMMANDS else Route.NOBODY


def broadcast_targets(message: Envelope, connected: Iterable[str]) -> list[str]:
    """The peer ids a broadcast goes to: all connected ones but the sender. It is the same message for all."""
    return [peer_id for peer_id in connected if peer_id != message.sender]


def stays(own_id: str, peer_id: str, dialled_by_us: bool) -> bool:
    """Which of two connections between the same nodes both ends keep: the one that the lesser id dialled."""
    return dialled_by_us == (own_id < peer_id)
