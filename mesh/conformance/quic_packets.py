"""Initial packets taken apart and put together again, and long headers of any version (RFC 8999, RFC 9000, RFC 9001)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from aioquic._buffer import Buffer
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import pull_quic_header

VERSION_1 = 1
MIN_INITIAL_BYTES = 1200
PACKET_NUMBER_BYTES = 2
_ID_BYTES = 8
_LONG = 0xC0
_VARINT_4 = 0x4000


def long_header(rng: random.Random, version: int, size: int = MIN_INITIAL_BYTES) -> tuple[bytes, bytes]:
    """A datagram that begins as an Initial of this version and is random behind its ids; also our own id in it."""
    theirs, ours = rng.randbytes(_ID_BYTES), rng.randbytes(_ID_BYTES)
    head = bytes((_LONG,)) + version.to_bytes(4, "big")
    head += bytes((len(theirs),)) + theirs + bytes((len(ours),)) + ours
    return head + rng.randbytes(size - len(head)), ours


@dataclass(frozen=True, slots=True)
class Negotiation:
    """A Version Negotiation packet."""

    destination_id: bytes
    versions: tuple[int, ...]


def read_negotiation(datagram: bytes) -> Negotiation | None:
    """The packet, None when the datagram is something else."""
    if len(datagram) < 7 or not datagram[0] & 0x80 or datagram[1:5] != bytes(4):
        return None
    size = datagram[5]
    destination = datagram[6 : 6 + size]
    rest = datagram[6 + size :]
    versions = rest[1 + rest[0] :] if rest else b""
    numbers = tuple(int.from_bytes(versions[at : at + 4], "big") for at in range(0, len(versions) - 3, 4))
    return Negotiation(destination, numbers)


class Initial:
    """The Initial of a dialer that has not spoken yet: its frames, to be sealed again at any size."""

    def __init__(self, quic: QuicConnection, datagram: bytes) -> None:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=_ID_BYTES)
        self._destination, self._source = header.destination_cid, header.source_cid
        listener = CryptoPair()
        listener.setup_initial(self._destination, is_client=False, version=VERSION_1)
        offset = 1 + 4 + 1 + len(self._destination) + 1 + len(self._source)
        offset += 1  # no token
        offset += 1 << (datagram[offset] >> 6)
        _, payload, _ = listener.decrypt_packet(datagram[: header.packet_length], offset, 0)
        self._frames = payload.rstrip(b"\x00")
        self._dialer = CryptoPair()
        self._dialer.setup_initial(self._destination, is_client=True, version=VERSION_1)

    def sealed(self, size: int, number: int = 0) -> bytes:
        """The packet with padding up to ``size`` bytes; no smaller than its frames."""
        head = bytes((_LONG | PACKET_NUMBER_BYTES - 1,)) + VERSION_1.to_bytes(4, "big")
        head += bytes((len(self._destination),)) + self._destination
        head += bytes((len(self._source),)) + self._source + b"\x00"
        overhead = len(head) + 2 + PACKET_NUMBER_BYTES + self._dialer.aead_tag_size
        payload = self._frames + bytes(max(0, size - overhead - len(self._frames)))
        length = PACKET_NUMBER_BYTES + len(payload) + self._dialer.aead_tag_size
        head += (_VARINT_4 | length).to_bytes(2, "big") + number.to_bytes(PACKET_NUMBER_BYTES, "big")
        return self._dialer.encrypt_packet(head, payload, number)
