"""The contract every machine in `mesh.protocols` keeps, and the words they share.

A machine is a protocol without a world: no socket, clock, loop, log or randomness of its own. Time is a float argument
in seconds from any fixed origin, randomness an argument of construction, so that a life can be recorded and replayed.

========================  =============================================================================================
door                      meaning
========================  =============================================================================================
``receive(data, now)``    bytes came in; never raises for what a peer did: a terminal event says how it ended
commands                  local wishes (`open_stream`, `send`); raise `UsageError` at once when illegal
``output()``              what must leave, in order; the caller owns what it took and must send all of it
stream queues             payload waits in a queue per stream, ids of readable streams in a list, never in ``events()``
``deadline()``            the next instant `wake` wants to be called, or None
``wake(now)``             time has passed
``events()``              what the floor above must know since the last call
========================  =============================================================================================

Order of use after every call from outside: ``output``, ``deadline``, ``events``.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol, TypeVar

Buffer = bytes | bytearray | memoryview

EventT = TypeVar("EventT")


class Role(Enum):
    """Which end of an exchange this machine plays: the initiator dialled, the responder listened."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Machine(Protocol[EventT]):
    """The doors of a machine that keeps its own time; the module's docstring says what each means."""

    def receive(self, data: Buffer, now: float) -> None: ...

    def output(self) -> list[Buffer]: ...

    def deadline(self) -> float | None: ...

    def wake(self, now: float) -> None: ...

    def events(self) -> list[EventT]: ...
