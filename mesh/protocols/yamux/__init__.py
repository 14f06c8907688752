"""yamux 1.0.0: many flow-controlled streams over one ordered connection, pure. Specification: libp2p yamux.

`stream.Stream` is the state of one stream, `session.Session` the machine that owns them, `settings.Settings` its
limits. What a peer does wrong to a stream resets that stream; what it does wrong to the session ends the session with
go away 1, as go and rust do. What go leaves loose (data after FIN, credit past 32 bits) is refused.

Payload waits in a queue per stream (`Session.take`), never in events; `Session.ready` lists streams whose reader or
writer has something new. `Session.output` returns batches of whole frames, each small enough for one record of the
secure channel below, so that a frame rarely straddles records.

Memory: `Session.held_bytes` counts what the queues really keep alive, not what is visible: a memoryview of a record
pins the whole record. Payloads that fill less than half of a record are copied into a growing tail buffer, so a peer
cannot pin memory by one-byte frames.
"""

from mesh.protocols.yamux.events import Ended, Event, StreamOpened
from mesh.protocols.yamux.session import Session
from mesh.protocols.yamux.settings import Settings
from mesh.protocols.yamux.stream import MAX_RESET_CODE, ResetCode, Stream

PROTOCOL_ID = "/yamux/1.0.0"

__all__ = [
    "MAX_RESET_CODE",
    "PROTOCOL_ID",
    "Ended",
    "Event",
    "ResetCode",
    "Session",
    "Settings",
    "Stream",
    "StreamOpened",
]
