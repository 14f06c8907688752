"""What a session tells the floor above."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import MeshError
from mesh.protocols.yamux.stream import Stream


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream; answer with `Session.accept` or `Session.reset`."""

    stream: Stream


@dataclass(slots=True)
class Ended:
    """The session is over: every stream is dead, the connection must be closed after `output` was sent."""

    error: MeshError


Event = StreamOpened | Ended
