"""multistream-select 1.0: agree on a protocol by name. Pure; specification: libp2p connections, "multistream-select".

Both ends send the header without waiting. The initiator pipelines its first proposal behind the header; whoever drives
it may also send application bytes at once (optimistic opening), because bytes behind the accepted token always belong
to the protocol and come out as ``Selected.leftover``.

The same two machines serve the security and muxer stages of a connection and the opening of every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mesh.codecs import multistream as codec
from mesh.errors import Malformed, PeerError, ProtocolNotSupported, Truncated, UsageError
from mesh.protocols.machine import Buffer

HEADER = "/multistream/1.0.0"
NOT_AVAILABLE = "na"
MAX_PROPOSALS = 256
"""Refused proposals an initiator may make before the responder gives up on it (go sets no cap; time is its only one)."""

PROTOCOL = "multistream"
CLAUSE = "connections: multistream-select"


@lru_cache(maxsize=1024)
def opening(protocol: str) -> bytes:
    """Header and one proposal, as the initiator sends them and as an agreeing responder echoes them."""
    return codec.encode_token(HEADER) + codec.encode_token(protocol)


@lru_cache(maxsize=1024)
def _token(protocol: str) -> bytes:
    return codec.encode_token(protocol)


_HEADER_TOKEN = codec.encode_token(HEADER)
_HEADER_BYTES = len(_HEADER_TOKEN)
_NOT_AVAILABLE_TOKEN = codec.encode_token(NOT_AVAILABLE)


@dataclass(slots=True)
class Selected:
    """Agreement: the protocol, and bytes that came behind the last token and belong to it."""

    protocol: str
    leftover: bytes


@dataclass(slots=True)
class Failed:
    """No agreement is possible any more."""

    error: PeerError


Outcome = Selected | Failed


class _Negotiation:
    """What both ends share: collecting tokens and ending."""

    __slots__ = ("_buffer", "_header_seen", "_output", "outcome")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header_seen = False
        self._output: list[Buffer] = []
        self.outcome: Outcome | None = None

    def output(self) -> list[Buffer]:
        """What must leave now; empty after it was taken."""
        taken, self._output = self._output, []
        return taken

    def receive(self, data: Buffer) -> None:
        """Take bytes in; `outcome` is set once the negotiation has ended. Bytes after the end are a usage error."""
        if self.outcome is not None:
            raise UsageError("multistream: negotiation has ended; its leftover goes to the protocol")
        buffer = self._buffer
        buffer += data
        offset = 0
        while self.outcome is None:
            try:
                token, offset = codec.decode_token(buffer, offset)
            except Truncated:
                break
            except Malformed as error:
                self._fail(f"token cannot be read: {error.reason}")
                break
            if self._header_seen:
                self._take(token, offset)
            elif token == HEADER:
                self._header_seen = True
            else:
                self._fail(f"first token is {token[:64]!r}, not {HEADER}")
        if self.outcome is None:
            del buffer[:offset]
        else:
            buffer.clear()

    def _take(self, token: str, offset: int) -> None:
        raise AssertionError  # pragma: no cover - both ends define it

    def _select(self, protocol: str, offset: int) -> None:
        self.outcome = Selected(protocol, bytes(memoryview(self._buffer)[offset:]))

    def _fail(self, reason: str) -> None:
        self.outcome = Failed(PeerError(f"multistream: {reason}", protocol=PROTOCOL, clause=CLAUSE))


class Initiator(_Negotiation):
    """Proposes protocols in order of liking until one is accepted.

    ``protocols`` must not be empty. Refusal of all ends in `Failed` with `ProtocolNotSupported`. An answer that agrees
    and comes in one piece is not taken apart.
    """

    __slots__ = ("_proposed", "_protocols")

    def __init__(self, protocols: Sequence[str]) -> None:
        super().__init__()
        if not protocols:
            raise UsageError("multistream: no protocol to propose")
        self._protocols = protocols
        self._proposed = 0
        self._output.append(opening(protocols[0]))

    def receive(self, data: Buffer) -> None:
        if not self._header_seen and not self._buffer and type(data) is not memoryview:
            protocol = self._protocols[0]
            agreed = opening(protocol)
            if data.startswith(agreed):
                self.outcome = Selected(protocol, bytes(data[len(agreed) :]))
                return
        super().receive(data)

    def _take(self, token: str, offset: int) -> None:
        proposal = self._protocols[self._proposed]
        if token == proposal:
            self._select(token, offset)
        elif token != NOT_AVAILABLE:
            self._fail(f"answer to {proposal} is {token[:64]!r}")
        elif self._proposed + 1 < len(self._protocols):
            self._proposed += 1
            self._output.append(codec.encode_token(self._protocols[self._proposed]))
        else:
            names = ", ".join(self._protocols)
            error = ProtocolNotSupported(f"peer supports none of {names}", protocol=names, clause=CLAUSE)
            self.outcome = Failed(error)


def _opened(data: bytes | bytearray) -> tuple[str, int]:
    """The proposal of an opening that is whole, and its end; end 0 where it is not, or where it has to be looked at."""
    if not data.startswith(_HEADER_TOKEN) or len(data) == _HEADER_BYTES:
        return "", 0
    start = _HEADER_BYTES + 1
    end = start + data[_HEADER_BYTES]
    if not start < end <= min(len(data), start + 127) or data[end - 1] != 0x0A:
        return "", 0
    try:
        return data[start : end - 1].decode(), end
    except UnicodeDecodeError:
        return "", 0


class Responder(_Negotiation):
    """Accepts the first proposal for which ``supports`` holds and answers `na` to others. An opening that comes in one
    piece is not taken apart."""

    __slots__ = ("_refused", "_supports")

    def __init__(self, supports: Callable[[str], bool]) -> None:
        super().__init__()
        self._supports = supports
        self._refused = 0
        self._output.append(_HEADER_TOKEN)

    def receive(self, data: Buffer) -> None:
        if not self._header_seen and not self._buffer and type(data) is not memoryview:
            proposal, end = _opened(data)
            if end and self._supports(proposal):
                self._output.append(_token(proposal))
                self.outcome = Selected(proposal, bytes(data[end:]))
                return
        super().receive(data)

    def _take(self, token: str, offset: int) -> None:
        if self._supports(token):
            self._output.append(_token(token))
            self._select(token, offset)
            return
        self._refused += 1
        if self._refused > MAX_PROPOSALS:
            self._fail(f"more than {MAX_PROPOSALS} proposals")
        else:
            self._output.append(_NOT_AVAILABLE_TOKEN)
