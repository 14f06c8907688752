"""One peer as the peerstore keeps it, and its form in a row."""

from __future__ import annotations

import contextlib
import math
import struct
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.storage.peer_table import Row

PERMANENT: Final = math.inf
CONNECTED: Final = sys.float_info.max
_ADDRESS: Final = struct.Struct(">dH")


class Lifetime(Enum):
    """How long an address is believed; the value is in seconds."""

    TEMPORARY = 120.0
    RECENT = 900.0
    CONNECTED = CONNECTED
    """While the peer is connected, then as RECENT."""
    PERMANENT = PERMANENT


@dataclass(frozen=True, slots=True)
class PeerDetails:
    """Everything about a peer. ``last_seen`` is in Unix seconds, 0 for never; ``seq`` that of its signed record."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    protocols: tuple[str, ...]
    agent: str
    connected: bool
    last_seen: float
    seq: int | None


class KnownPeer:
    """One peer's data. Values are replaced, never changed in place: the table's thread reads them at any time."""

    __slots__ = (
        "addresses",
        "agent",
        "connected",
        "envelope",
        "key",
        "last_seen",
        "peer",
        "protocols",
        "seq",
        "stored",
        "touched",
    )

    def __init__(self, peer: PeerId) -> None:
        self.peer = peer
        self.addresses: dict[Multiaddr, float] = {}
        self.protocols: tuple[str, ...] = ()
        self.key = b""
        self.agent = ""
        self.connected = False
        self.envelope = b""
        self.seq = 0
        self.touched = 0.0
        self.last_seen = 0.0
        self.stored = False

    @property
    def kept(self) -> bool:
        """Whether strangers cannot push it out."""
        return self.connected or PERMANENT in self.addresses.values()

    def row(self) -> Row:
        addresses = [(expires, each.to_bytes()) for each, expires in self.addresses.items()]
        packed = [_ADDRESS.pack(expires, len(data)) + data for expires, data in addresses]
        return (
            self.peer.to_bytes(),
            self.touched,
            self.last_seen,
            self.agent,
            self.key,
            "\n".join(self.protocols),
            b"".join(packed),
            self.seq.to_bytes(8, "big"),
            self.envelope,
        )

    @classmethod
    def from_row(cls, peer: PeerId, row: Row, now: float) -> KnownPeer:
        """Addresses of a connection that outlived its process count as recent."""
        record = cls(peer)
        (
            _,
            record.touched,
            record.last_seen,
            record.agent,
            record.key,
            protocols,
            packed,
            seq,
            record.envelope,
        ) = row
        record.protocols = tuple(map(sys.intern, protocols.split("\n"))) if protocols else ()
        record.seq = int.from_bytes(seq, "big")
        record.stored = True
        at = 0
        with contextlib.suppress(struct.error):
            while at < len(packed):
                expires, size = _ADDRESS.unpack_from(packed, at)
                at += _ADDRESS.size + size
                if expires == CONNECTED:
                    expires = now + Lifetime.RECENT.value
                if expires > now:
                    with contextlib.suppress(DecodeError):
                        record.addresses[Multiaddr.from_bytes(packed[at - size : at])] = expires
        return record
