"""A Levin connection: packets in and out, and the three exchanges that keep it (section 15).

Go ships framing and storage alone. The handshake, ping and timed sync here are our own use of its command numbers, with
the fields that its storage samples show: the dialler asks first, network ids have to agree, a peer that is pinged answers
with its id, and every `SYNC_INTERVAL_S` the two tell each other their height. Everything else goes to the application.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from mesh.codecs.levin import FLAG_REQUEST, FLAG_RESPONSE, MAX_PAYLOAD_BYTES, Command, ReturnCode
from mesh.errors import DecodeError, LimitError, Malformed, UsageError
from mesh.framing.levin import HEADER_BYTES, Header, read_header, write_header
from mesh.protocols.lethean.portable_storage import Kind, Section, Typed, decode_storage, encode_storage, want

Buffer = bytes | bytearray | memoryview

READ_TIMEOUT_S: Final = 120.0
WRITE_TIMEOUT_S: Final = 30.0
"""For whoever drives the machine: the limit for a packet to leave."""

ANSWER_TIMEOUT_S: Final = 30.0
SYNC_INTERVAL_S: Final = 60.0
MAX_WAITING: Final = 64
NETWORK_ID_BYTES: Final = 16
STATUS_OK: Final = b"OK"


@dataclass(frozen=True, slots=True)
class LevinNode:
    """What an end says of itself. `top_id` has 32 bytes; `unix_s` is its clock now."""

    peer_id: int
    network_id: bytes
    port: int
    height: int
    top_id: bytes
    unix_s: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is done; this is what the other end says of itself."""

    peer: LevinNode


@dataclass(frozen=True, slots=True)
class Synced:
    """The other end told its height."""

    height: int
    top_id: bytes


@dataclass(frozen=True, slots=True)
class Ponged:
    """A ping of ours was answered after `round_trip_s`."""

    peer_id: int
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the application's: answer it with `respond(command, ...)`."""

    command: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification of the application's."""

    command: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request of the application's."""

    command: int
    return_code: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is of no more use and has to be closed."""

    reason: str


Event = Connected | Synced | Ponged | Asked | Notified | Answered | Ended


class LevinConnection:
    """One end of a connection. `own` is what we say of ourselves; replace it with `update` when the height changes."""

    __slots__ = (
        "_answer_by",
        "_began_s",
        "_buffer",
        "_ended",
        "_events",
        "_max_payload_bytes",
        "_output",
        "_own",
        "_read_by",
        "_sync_at",
        "_waiting",
        "peer",
    )

    def __init__(
        self, own: LevinNode, dials: bool, now: float, max_payload_bytes: int = MAX_PAYLOAD_BYTES
    ) -> None:
        if len(own.network_id) != NETWORK_ID_BYTES:
            raise UsageError(f"a network id has {NETWORK_ID_BYTES} bytes")
        self._own = own
        self._began_s = own.unix_s - now
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._output: list[Buffer] = []
        self._events: list[Event] = []
        self._waiting: deque[tuple[int, float]] = deque()
        self._read_by = now + READ_TIMEOUT_S
        self._sync_at: float | None = None
        self._ended = False
        self.peer: LevinNode | None = None
        if dials:
            self._request(Command.HANDSHAKE, self._introduce(now), now)

    # -- doors ----------------------------------------------------------------------------------------------------

    def receive(self, data: Buffer, now: float) -> None:
        """Bytes came in."""
        if self._ended:
            return
        buffer = self._buffer
        buffer += data
        offset = 0
        while not self._ended and len(buffer) - offset >= HEADER_BYTES:
            try:
                header = read_header(buffer, offset, self._max_payload_bytes)
            except Malformed as error:
                self._end(error.reason)
                break
            stop = offset + HEADER_BYTES + header.payload_size
            if stop > len(buffer):
                break
            payload = bytes(buffer[offset + HEADER_BYTES : stop])
            offset = stop
            self._read_by = now + READ_TIMEOUT_S
            try:
                self._take(header, payload, now)
            except DecodeError as error:
                self._end(str(error))
        del buffer[:offset]

    def output(self) -> list[Buffer]:
        """What must leave, in order."""
        found, self._output = self._output, []
        return found

    def events(self) -> list[Event]:
        """What happened since the last call."""
        found, self._events = self._events, []
        return found

    def deadline(self) -> float | None:
        """When `wake` is to be called next."""
        if self._ended:
            return None
        found = self._read_by
        if self._waiting:
            found = min(found, self._waiting[0][1] + ANSWER_TIMEOUT_S)
        return found if self._sync_at is None else min(found, self._sync_at)

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self._ended:
            return
        if now >= self._read_by:
            self._end(f"no whole packet within {READ_TIMEOUT_S:g} s")
        elif self._waiting and now >= self._waiting[0][1] + ANSWER_TIMEOUT_S:
            self._end(f"no answer to command {self._waiting[0][0]} within {ANSWER_TIMEOUT_S:g} s")
        elif self._sync_at is not None and now >= self._sync_at:
            self._sync_at = now + SYNC_INTERVAL_S
            self._request(Command.TIMED_SYNC, encode_storage({"payload_data": self._height()}), now)

    # -- commands -------------------------------------------------------------------------------------------------

    def update(self, own: LevinNode, now: float) -> None:
        """From now on we say this of ourselves."""
        self._own = own
        self._began_s = own.unix_s - now

    def ping(self, now: float) -> None:
        """Asks whether the other end lives; `Ponged` comes back."""
        self._request(Command.PING, b"", now)

    def request(self, command: int, payload: bytes, now: float) -> None:
        """Asks something of the application's; `Answered` comes back. Raises LimitError when too many answers are due."""
        self._application(command)
        self._request(command, payload, now)

    def notify(self, command: int, payload: bytes) -> None:
        """Tells something of the application's."""
        self._application(command)
        self._send(Header(len(payload), False, command), payload)

    def respond(self, command: int, payload: bytes, return_code: int = ReturnCode.OK) -> None:
        """Answers what was asked."""
        self._application(command)
        self._send(Header(len(payload), False, command, return_code, FLAG_RESPONSE), payload)

    # -- packets --------------------------------------------------------------------------------------------------

    def _take(self, header: Header, payload: bytes, now: float) -> None:
        if header.flags & FLAG_RESPONSE:
            self._take_answer(header, payload, now)
        elif header.command == Command.HANDSHAKE:
            self._take_handshake(payload, now)
        elif header.command == Command.PING:
            self._send_answer(Command.PING, {"status": _text(STATUS_OK), "peer_id": _u64(self._own.peer_id)})
        elif self.peer is None:
            self._end(f"command {header.command} before the handshake")
        elif header.command == Command.TIMED_SYNC:
            self._note_height(decode_storage(payload))
            self._send_answer(
                Command.TIMED_SYNC,
                {"payload_data": self._height(), "local_time": self._local_time(now)},
            )
        elif header.expect_response:
            self._events.append(Asked(header.command, payload))
        else:
            self._events.append(Notified(header.command, payload))

    def _take_handshake(self, payload: bytes, now: float) -> None:
        if self.peer is not None:
            self._end("a second handshake")
            return
        peer = _read_node(decode_storage(payload))
        if peer.network_id != self._own.network_id:
            self._send(Header(0, False, Command.HANDSHAKE, ReturnCode.CONNECTION, FLAG_RESPONSE), b"")
            self._end("the other end is of another network")
            return
        own = self._introduce(now)
        self._send(Header(len(own), False, Command.HANDSHAKE, ReturnCode.OK, FLAG_RESPONSE), own)
        self._connect(peer, now)

    def _take_answer(self, header: Header, payload: bytes, now: float) -> None:
        sent = self._answered(header.command)
        if sent is None:
            self._end(f"an answer to command {header.command} that nobody asked")
        elif header.command == Command.HANDSHAKE:
            if header.return_code != ReturnCode.OK:
                self._end(f"the handshake was refused with code {header.return_code}")
                return
            peer = _read_node(decode_storage(payload))
            if peer.network_id != self._own.network_id:
                self._end("the other end is of another network")
                return
            self._connect(peer, now)
        elif header.command == Command.PING:
            answer = decode_storage(payload)
            if want(answer, "status", Kind.STRING) != STATUS_OK:
                self._end("a ping was answered with another status than OK")
                return
            self._events.append(Ponged(want(answer, "peer_id", Kind.UINT64), now - sent))
        elif header.command == Command.TIMED_SYNC:
            self._note_height(decode_storage(payload))
        else:
            self._events.append(Answered(header.command, header.return_code, payload))

    def _answered(self, command: int) -> float | None:
        for number, (asked, sent) in enumerate(self._waiting):
            if asked == command:
                del self._waiting[number]
                return sent
        return None

    def _connect(self, peer: LevinNode, now: float) -> None:
        self.peer = peer
        self._sync_at = now + SYNC_INTERVAL_S
        self._events.append(Connected(peer))

    def _note_height(self, section: Section) -> None:
        data = want(section, "payload_data", Kind.OBJECT)
        self._events.append(
            Synced(want(data, "current_height", Kind.UINT64), want(data, "top_id", Kind.STRING))
        )

    def _application(self, command: int) -> None:
        if self._ended or self.peer is None:
            raise UsageError(
                f"command {command}: the connection {'has ended' if self._ended else 'is not set up'}"
            )
        if command in (Command.HANDSHAKE, Command.TIMED_SYNC, Command.PING):
            raise UsageError(f"command {command} is the connection's own")

    def _request(self, command: int, payload: bytes, now: float) -> None:
        if self._ended:
            raise UsageError(f"command {command}: the connection has ended")
        if len(self._waiting) >= MAX_WAITING:
            raise LimitError("connection", "requests that wait", MAX_WAITING, "nothing; wait for answers")
        self._waiting.append((command, now))
        self._send(Header(len(payload), True, command, ReturnCode.OK, FLAG_REQUEST), payload)

    def _send_answer(self, command: int, section: Section) -> None:
        payload = encode_storage(section)
        self._send(Header(len(payload), False, command, ReturnCode.OK, FLAG_RESPONSE), payload)

    def _send(self, header: Header, payload: bytes) -> None:
        self._output.append(write_header(header))
        if payload:
            self._output.append(payload)

    def _local_time(self, now: float) -> Typed:
        return _u64(int(self._began_s + now))

    def _introduce(self, now: float) -> bytes:
        own = self._own
        node: Section = {
            "network_id": _text(own.network_id),
            "peer_id": _u64(own.peer_id),
            "my_port": Typed(Kind.UINT32, own.port),
            "local_time": self._local_time(now),
        }
        return encode_storage({"node_data": Typed(Kind.OBJECT, node), "payload_data": self._height()})

    def _height(self) -> Typed:
        return Typed(
            Kind.OBJECT, {"current_height": _u64(self._own.height), "top_id": _text(self._own.top_id)}
        )

    def _end(self, reason: str) -> None:
        self._ended = True
        self._buffer.clear()
        self._waiting.clear()
        self._events.append(Ended(reason))


def _u64(number: int) -> Typed:
    return Typed(Kind.UINT64, number)


def _text(data: bytes) -> Typed:
    return Typed(Kind.STRING, data)


def _read_node(section: Section) -> LevinNode:
    node = want(section, "node_data", Kind.OBJECT)
    data = want(section, "payload_data", Kind.OBJECT)
    return LevinNode(
        peer_id=want(node, "peer_id", Kind.UINT64),
        network_id=want(node, "network_id", Kind.STRING),
        port=want(node, "my_port", Kind.UINT32),
        height=want(data, "current_height", Kind.UINT64),
        top_id=want(data, "top_id", Kind.STRING),
        unix_s=want(node, "local_time", Kind.UINT64),
    )
