"""Which of its own addresses each peer reached a socket at, for a socket bound to all of them.

Left to itself the system chooses the address that an answer comes from by the route back, and a machine with several
(every one with IPv6) would answer from another address than was asked; peers drop that.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from mesh.network.quic.engine import Address

MAX_PEERS: Final = 8192
"""Peers remembered; the first is forgotten for the next, and known again by its next datagram."""
STALE: Final = frozenset(
    (errno.EINVAL, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV)
)
"""What the system may say when the address is no longer this machine's."""

Ancillary = tuple[int, int, bytes]

_INFO4: Final = struct.Struct("=i4s4s")
_INFO6: Final = struct.Struct("=16sI")
_MULTICAST: Final = 0xFF
_LINK_LOCAL: Final = b"\xfe\x80"


class LocalAddresses:
    """By peer. What is noted and given is the control message of IP_PKTINFO or IPV6_PKTINFO."""

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[Address, tuple[bytes, list[Ancillary]]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def note(self, peer: Address, received: Ancillary) -> None:
        """A datagram of ``peer`` came with this message."""
        known = self._peers.get(peer)
        if known is not None and known[0] == received[2]:
            return
        if known is None and len(self._peers) >= MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = (received[2], _answering(received))

    def of(self, peer: Address) -> list[Ancillary]:
        """What sends to ``peer`` from the address it reached; empty if that is not known."""
        known = self._peers.get(peer)
        return [] if known is None else known[1]

    def forget(self, peer: Address) -> None:
        self._peers.pop(peer, None)


def _answering(received: Ancillary) -> list[Ancillary]:
    """The message for sending: the same address, any interface but for a link-local one."""
    level, kind, data = received
    if level == socket.IPPROTO_IPV6 and len(data) == _INFO6.size:
        local, interface = _INFO6.unpack(data)
        if local[0] == _MULTICAST:
            return []
        return [(level, kind, _INFO6.pack(local, interface if local[:2] == _LINK_LOCAL else 0))]
    if level == socket.IPPROTO_IP and len(data) == _INFO4.size:
        _, local, _ = _INFO4.unpack(data)
        return [(level, kind, _INFO4.pack(0, local, bytes(4)))]
    return []
