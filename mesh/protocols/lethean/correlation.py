"""Requests that wait, and the answers that belong to them (section 10).

An answer is the first message whose `replyTo` is the request's id, and, unless Go's verdicts are wanted, that comes from
the connection the request went to. Sending a request again needs a new id: the old one is a duplicate there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mesh.errors import LimitError, Malformed, PeerError, UsageError
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import PAYLOADS, DeployAck, ErrorReply, MinerAck

MAX_WAITING: Final = 4096
PROTOCOL: Final = "lethean"

ConnectionT = TypeVar("ConnectionT")


@dataclass(frozen=True, slots=True)
class Call:
    """A request's type, the type of its answer, and how long to wait for it."""

    request: str
    answer: str
    timeout_s: float


CALLS: Final = {
    call.request: call
    for call in (
        Call("ping", "pong", 5.0),
        Call("get_stats", "stats", 10.0),
        Call("get_logs", "logs", 10.0),
        Call("start_miner", "miner_ack", 30.0),
        Call("stop_miner", "miner_ack", 30.0),
        Call("deploy", "deploy_ack", 60.0),
    )
}
"""`deploy` is our own addition: Go's controller has no call for it."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[ConnectionT]):
    call: Call
    connection: ConnectionT
    deadline: float


class Requests(Generic[ConnectionT]):
    """The requests of a node, by id. `ConnectionT` is whatever tells connections apart by `==`."""

    __slots__ = ("_max_waiting", "_strictness", "_waiting", "stray")

    def __init__(self, strictness: Strictness = SAFE, max_waiting: int = MAX_WAITING) -> None:
        self._strictness = strictness
        self._max_waiting = max_waiting
        self._waiting: dict[str, _Waiting[ConnectionT]] = {}
        self.stray = 0

    def open(self, id: str, call: Call, connection: ConnectionT, now: float) -> None:
        """A request is about to leave. Raises LimitError when too many wait, UsageError for an id that waits already."""
        if id in self._waiting:
            raise UsageError(f"a request with the id {id} waits already; every request wants a new id")
        if len(self._waiting) >= self._max_waiting:
            raise LimitError("node", "requests that wait", self._max_waiting, "lethean.max_requests")
        self._waiting[id] = _Waiting(call, connection, now + call.timeout_s)

    def take(self, message: Envelope, connection: ConnectionT) -> tuple[str, Call] | None:
        """The id and call that a message answers, which then no longer waits; None for a message nobody waits for."""
        waiting = self._waiting.get(message.reply_to)
        elsewhere = waiting is not None and waiting.connection != connection
        if waiting is None or (elsewhere and self._strictness.same_connection):
            self.stray += 1
            return None
        del self._waiting[message.reply_to]
        return message.reply_to, waiting.call

    def close(self, id: str) -> None:
        """Nobody waits for this one any more."""
        self._waiting.pop(id, None)

    def lose(self, connection: ConnectionT) -> list[str]:
        """A connection ended: the ids of requests that can get no answer; they no longer wait."""
        lost = [id for id, waiting in self._waiting.items() if waiting.connection == connection]
        for id in lost:
            del self._waiting[id]
        return lost

    def deadline(self) -> float | None:
        """When the first request times out."""
        return min((waiting.deadline for waiting in self._waiting.values()), default=None)

    def wake(self, now: float) -> list[str]:
        """The ids of requests that timed out; they no longer wait."""
        late = [id for id, waiting in self._waiting.items() if now >= waiting.deadline]
        for id in late:
            del self._waiting[id]
        return late

    def __len__(self) -> int:
        return len(self._waiting)


def read_answer(call: Call, message: Envelope) -> JsonRecord:
    """The payload of an answer. Raises PeerError for an error, another type, a refusal, or a payload that is none."""
    try:
        if message.type == "error":
            error = message.payload(ErrorReply)
            raise PeerError(
                f"remote error ({error.code}): {error.message}", protocol=PROTOCOL, wire_code=error.code
            )
        if message.type != call.answer:
            raise PeerError(
                f"unexpected response type: expected {call.answer}, got {message.type[:40]}",
                protocol=PROTOCOL,
            )
        found = message.payload(PAYLOADS[call.answer])
    except Malformed as error:
        raise PeerError(f"the answer to {call.request} is malformed: {error}", protocol=PROTOCOL) from None
    if isinstance(found, MinerAck | DeployAck) and not found.success:
        raise PeerError(f"{call.request} failed: {found.error}", protocol=PROTOCOL)
    return found
