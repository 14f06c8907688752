"""Why a stream can be used no more, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Closed, MeshError, StreamReset, UsageError

if TYPE_CHECKING:
    from mesh.network.carrier import MuxedStream


def ending(state: MuxedStream, ended: MeshError | None, protocol: str, stage: str = "") -> MeshError:
    """What a stream's state tells; ``ended`` is what its connection ended with."""
    if ended is not None:
        closed = Closed(f"{stage}{ended}")
        closed.__cause__ = ended
        return closed
    if state.reset_code is not None:
        code = state.reset_code
        reason = f" with code {code:#x}" if code else ""
        who = "the peer" if state.reset_by_peer else "this side"
        return StreamReset(f"{stage}{who} reset the stream{reason}", protocol=protocol, wire_code=code)
    return Closed(f"{stage}the peer ended the stream")


def unwritable(state: MuxedStream, protocol: str) -> MeshError:
    """Why a stream that was not reset takes no more bytes."""
    code = state.stop_code
    if code is None:
        return UsageError(f"{protocol}: the stream is closed for writing")
    reason = f" (code {code:#x})" if code else ""
    return StreamReset(f"the peer reads no more{reason}", protocol=protocol, wire_code=code)
