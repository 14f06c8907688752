"""What happened to each message and peer, as lines of JSON in the form of go-libp2p-pubsub's JSONTracer (v0.17).

One object a line: ``type`` is the number of the event, ``peerID`` this node, ``timestamp`` Unix time in nanoseconds, and
one more field, named as the event, has the rest. Ids of peers and messages are in base64. Differences: go cannot drop
single messages from a queue and names in DROP_RPC what the dropped RPC had; here it says only whose queue was full.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TextIO

from mesh.codecs.gossip import Control, Message, Rpc
from mesh.codecs.wire import read_varint
from mesh.errors import DecodeError, StorageError
from mesh.identity.peer_id import PeerId

log = logging.getLogger(__name__)

MAX_WAITING: Final = 65536
"""Events for which the disk is too slow; further ones are dropped and counted."""
(
    PUBLISH_MESSAGE,
    REJECT_MESSAGE,
    DUPLICATE_MESSAGE,
    DELIVER_MESSAGE,
    NEW_OUTBOUND_STREAM,
    CLOSED_OUTBOUND_STREAM,
    RECV_RPC,
    SEND_RPC,
    DROP_RPC,
    JOIN,
    LEAVE,
    GRAFT,
    PRUNE,
) = range(13)
FIELDS: Final = (
    "publishMessage",
    "rejectMessage",
    "duplicateMessage",
    "deliverMessage",
    "onNewOutboundStream",
    "onClosedOutboundStream",
    "recvRPC",
    "sendRPC",
    "dropRPC",
    "join",
    "leave",
    "graft",
    "prune",
)
"""By number; up to v0.15 go called 4 and 5 addPeer and removePeer."""
REJECTIONS: Final = {
    "no signature": "missing signature",
    "no sender": "missing signature",
    "a signature": "unexpected signature",
    "a sender, sequence number or key": "unexpected auth info",
}
"""go's words for what `signing.check_shape` says."""

Body = dict[str, object]


class Tracer:
    """Writes events to a file, from a thread of its own. ``id_of`` gives the id of a message in whatever topic."""

    def __init__(self, path: Path, own_id: PeerId, id_of: Callable[[Message], bytes]) -> None:
        self._path = path
        self._own_id = own_id.to_bytes()
        self._id_of = id_of
        self._waiting: deque[Body] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._done: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Events not written for want of room."""

    def start(self) -> None:
        """Begin the file anew. Raises `StorageError`."""
        try:
            file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write the trace: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._write, args=(file,), name="gossip trace", daemon=True)
        self._thread.start()

    def stop(self) -> Future[None]:
        """Done when everything has been written and the file is closed."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        return self._done

    # -- messages ----------------------------------------------------------------------------------------------------

    def publish(self, id: bytes, topic: str) -> None:
        """An own message is sent."""
        self._put(PUBLISH_MESSAGE, {"messageID": id, "topic": topic})

    def reject(self, id: bytes, source: PeerId, reason: str, topic: str) -> None:
        """A message is not taken."""
        body: Body = {"messageID": id, "receivedFrom": source.to_bytes(), "reason": reason, "topic": topic}
        self._put(REJECT_MESSAGE, body)

    def duplicate(self, id: bytes, source: PeerId, topic: str) -> None:
        """A message came again."""
        self._put(DUPLICATE_MESSAGE, {"messageID": id, "receivedFrom": source.to_bytes(), "topic": topic})

    def deliver(self, id: bytes, source: PeerId, topic: str) -> None:
        """A message was accepted."""
        self._put(DELIVER_MESSAGE, {"messageID": id, "topic": topic, "receivedFrom": source.to_bytes()})

    def left_out(self, source: PeerId, wires: Iterable[bytes], topics: Container[str]) -> None:
        """Messages of an RPC that the router did not want verified: most came again."""
        for wire in wires:
            try:
                message = Message.decode(wire)
            except DecodeError:
                continue
            if message.topic not in topics:
                continue
            id = self._id_of(message)
            if message.sender == self._own_id:
                self.reject(id, source, "self originated message", message.topic)
            else:
                self.duplicate(id, source, message.topic)

    # -- peers and topics --------------------------------------------------------------------------------------------

    def opened(self, peer: PeerId, protocol: str) -> None:
        """A stream to a peer stands."""
        self._put(NEW_OUTBOUND_STREAM, {"peerID": peer.to_bytes(), "proto": protocol})

    def lost(self, peer: PeerId) -> None:
        """It stands no more."""
        self._put(CLOSED_OUTBOUND_STREAM, {"peerID": peer.to_bytes()})

    def join(self, topic: str) -> None:
        """This node joined a topic."""
        self._put(JOIN, {"topic": topic})

    def leave(self, topic: str) -> None:
        """This node left it."""
        self._put(LEAVE, {"topic": topic})

    def graft(self, peer: PeerId, topic: str) -> None:
        """A peer came into our mesh."""
        self._put(GRAFT, {"peerID": peer.to_bytes(), "topic": topic})

    def prune(self, peer: PeerId, topic: str) -> None:
        """A peer left our mesh."""
        self._put(PRUNE, {"peerID": peer.to_bytes(), "topic": topic})

    # -- RPCs --------------------------------------------------------------------------------------------------------

    def received_rpc(self, peer: PeerId, rpc: Rpc) -> None:
        """An RPC came."""
        self._put(RECV_RPC, {"receivedFrom": peer.to_bytes(), "meta": self._meta(rpc)})

    def sent_rpc(self, peer: PeerId, framed: bytes) -> None:
        """An RPC, with its length in front, is on its way."""
        _, start = read_varint(framed, 0, len(framed), "RPC length")
        self._put(SEND_RPC, {"sendTo": peer.to_bytes(), "meta": self._meta(Rpc.decode(framed[start:]))})

    def dropped_rpc(self, peer: PeerId) -> None:
        """A peer's queue was full."""
        self._put(DROP_RPC, {"sendTo": peer.to_bytes(), "meta": {}})

    def _meta(self, rpc: Rpc) -> Body:
        messages = []
        for wire in rpc.publish:
            try:
                message = Message.decode(wire)
            except DecodeError:
                continue
            messages.append({"messageID": self._id_of(message), "topic": message.topic})
        topics = [{"subscribe": bool(each.subscribe), "topic": each.topic} for each in rpc.subscriptions]
        meta = _present({"messages": messages, "subscription": topics})
        if rpc.control is not None:
            meta["control"] = _control(rpc.control)
        return meta

    # -- within ------------------------------------------------------------------------------------------------------

    def _put(self, event: int, body: Body) -> None:
        line: Body = {
            "type": event,
            "peerID": self._own_id,
            "timestamp": time.time_ns(),
            FIELDS[event]: body,
        }
        with self._wake:
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                return
            self._waiting.append(line)
            if len(self._waiting) == 1:
                self._wake.notify()

    def _write(self, file: TextIO) -> None:
        try:
            with file:
                while True:
                    with self._wake:
                        while not self._waiting and not self._stopping:
                            self._wake.wait()
                        lines, self._waiting = self._waiting, deque()
                    for line in lines:
                        file.write(json.dumps(line, default=_base64, separators=(",", ":")) + "\n")
                    file.flush()
                    if not lines:
                        break
        except OSError as error:
            log.error("%s: the trace ends here: %s", self._path, error)
        self._done.set_result(None)


def _control(control: Control) -> Body:
    return _present(
        {
            "ihave": [{"topic": each.topic, "messageIDs": each.message_ids} for each in control.ihave],
            "iwant": [{"messageIDs": each.message_ids} for each in control.iwant],
            "graft": [{"topic": each.topic} for each in control.graft],
            "prune": [
                _present({"topic": each.topic, "peers": [peer.peer_id for peer in each.peers]})
                for each in control.prune
            ],
            "idontwant": [{"messageIDs": each.message_ids} for each in control.idontwant],
        }
    )


def _present(fields: Body) -> Body:
    """Without empty ones, as go's encoder leaves them out."""
    return {name: value for name, value in fields.items() if value}


def _base64(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()
