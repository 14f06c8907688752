"""Messages and RPCs of simulated nodes: real bytes, decoded by the real codec, but equal bytes only once."""

from __future__ import annotations

from enum import IntEnum

from mesh.codecs.gossip import Control, Message, Rpc
from mesh.codecs.wire import read_varint
from mesh.simulation.gossip_parameters import TOPIC

CACHED_PACKETS = 8192
"""Different RPCs in each of two generations."""

CACHED_BYTES = 4096
"""Longer RPCs are kept by nobody: requests of many ids, which are all different."""

_PEER_ID = b"\x00\x24\x08\x01\x12\x20" + bytes(28)
"""An Ed25519 peer id, all but the last four bytes, which are the node's number."""

_SIGNATURE = bytes(64)


class Sort(IntEnum):
    """What is wrong with a message; the first byte of its data."""

    GOOD = 0
    REJECTED = 1
    """Validation refuses it."""
    FORGED = 2
    """Its signature is another's."""


def id_of(author: int, number: int) -> bytes:
    """The id of a message: author and sequence number."""
    return _PEER_ID + author.to_bytes(4, "big") + number.to_bytes(8, "big")


def message(author: int, number: int, size: int, sort: Sort = Sort.GOOD) -> tuple[bytes, bytes]:
    """The id and the encoding of a message, as long as a signed one."""
    sender, seqno = _PEER_ID + author.to_bytes(4, "big"), number.to_bytes(8, "big")
    data = bytes((sort,)) * size
    return sender + seqno, Message(sender, data, seqno, TOPIC, _SIGNATURE).encode()


def author_of(message: Message) -> int | None:
    """The node that a message says has written it."""
    sender = message.sender
    return int.from_bytes(sender[-4:], "big") if sender is not None else None


def number_of(message: Message) -> int:
    """Its place in the run."""
    return int.from_bytes(message.seqno or b"", "big")


def sort_of(message: Message) -> Sort:
    return Sort((message.data or b"\x00")[0])


class Packet:
    """One RPC on its way. `payload`, `gossip` and `control` are its bytes by kind, those of its framing with the most
    frequent kind in it."""

    __slots__ = ("_kept", "control", "gossip", "payload", "rpc")

    def __init__(self, frame: bytes) -> None:
        size = len(frame)
        _, start = read_varint(frame, 0, size, "length")
        rpc = self.rpc = Rpc.decode(frame[start:])
        self._kept: Rpc | None = None
        control = rpc.control
        self.payload = self.gossip = self.control = 0
        if control is None and not rpc.subscriptions:
            self.payload = size
            return
        gossip = 0
        if control is not None:
            told = Control(ihave=control.ihave, iwant=control.iwant, idontwant=control.idontwant)
            gossip = len(told.encode())
        self.payload = len(Rpc(publish=rpc.publish).encode()) if rpc.publish else 0
        kept = self.kept
        if kept.control is None and not kept.subscriptions:
            self.gossip = size - self.payload
        else:
            self.gossip = gossip
            self.control = size - self.payload - gossip

    @property
    def kept(self) -> Rpc:
        """What arrives of it when it is lost: subscriptions, GRAFT and PRUNE, of which a stream loses none."""
        if self._kept is None:
            control = self.rpc.control
            told = None
            if control is not None and (control.graft or control.prune):
                told = Control(graft=control.graft, prune=control.prune)
            self._kept = Rpc(subscriptions=self.rpc.subscriptions, control=told)
        return self._kept


class Packets:
    """RPCs decoded lately. A message passed on, or an announcement, is the same bytes for many peers."""

    def __init__(self) -> None:
        self._young: dict[bytes, Packet] = {}
        self._old: dict[bytes, Packet] = {}

    def of(self, frame: bytes) -> Packet:
        """The RPC behind its length."""
        young = self._young
        packet = young.get(frame)
        if packet is None:
            packet = self._old.get(frame) or Packet(frame)
            if len(frame) > CACHED_BYTES:
                return packet
            if len(young) >= CACHED_PACKETS:
                self._old = young
                young = self._young = {}
            young[frame] = packet
        return packet
