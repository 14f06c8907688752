"""The protection of packets with a short header (RFC 9001 sections 5 and 6), for the few that are opened or made here.

An engine protects its own packets. What has to be said or read besides goes through this: it knows one direction's
traffic secret and follows key updates by their count. Keys are made when they are needed first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

AES_128_GCM_SHA256: Final = 0x1301
AES_256_GCM_SHA384: Final = 0x1302
CHACHA20_POLY1305_SHA256: Final = 0x1303

HEAD_BYTES: Final = 1 + 20 + 4 + 16
"""As much of a packet as tells its number: first byte, the longest connection id, a number, what is sampled behind it."""
OVERHEAD_BYTES: Final = 1 + 20 + 2 + 16
"""The most that `Protection.seal` adds to a payload."""
MAX_UPDATES: Final = 1 << 12
"""Of keys that are tried in a row, 0.2 s of work; Go updates them every 100,000 packets."""
MIN_PAYLOAD_BYTES: Final = 2
"""Less could not be sampled (RFC 9001 section 5.4.2)."""
_LONG: Final = 0x80
_FIXED: Final = 0x40
_PHASE: Final = 0x04
_NUMBER_BYTES: Final = 2
_NONCE_BYTES: Final = 12
_SAMPLE_BYTES: Final = 16


class Opened(NamedTuple):
    """What a packet says: its number, its destination id, and its frames."""

    number: int
    destination_id: bytes
    payload: bytes


class Protection:
    """One direction of a connection. ``newest`` is the highest number of a packet opened or sealed here, ``generation``
    how often the keys were updated before it."""

    __slots__ = ("_aead", "_header_key", "_iv", "_secret", "_suite", "generation", "newest")

    def __init__(self, suite: int, secret: bytes) -> None:
        """``suite`` is one of the three of TLS 1.3 above, ``secret`` the first application traffic secret."""
        self._suite = suite
        self._secret = secret
        self.generation = 0
        self._header_key: bytes | None = None
        self._aead: AESGCM | ChaCha20Poly1305 | None = None
        self._iv = b""
        self.newest = -1

    def follow(self, generation: int) -> None:
        """Use the keys after so many updates in all (section 6.1), not fewer than before."""
        self._prepare()
        while self.generation < generation:
            self._secret = self._expand(b"quic ku", len(self._secret))
            self.generation += 1
            self._aead = None
        self._prepare()

    def catch_up(self, packet: bytes, id_bytes: int, expected: int) -> Opened | None:
        """Open a packet after any number of updates that nobody told of, and use the keys it needed from now on."""
        before = self.generation, self._secret
        for generation in range(self.generation, self.generation + MAX_UPDATES):
            self.follow(generation)
            opened = self.open(packet, id_bytes, expected)
            if opened is not None:
                return opened
        self.generation, self._secret = before
        self._aead = None
        return None

    def number_of(self, head: bytes, id_bytes: int, near: int) -> int | None:
        """The number of a packet, not authenticated, of which ``head`` is the beginning: the one closest to ``near``."""
        at = 1 + id_bytes
        if len(head) < at + 4 + _SAMPLE_BYTES:
            return None
        self._prepare()
        header = self._unmask(head, at)
        bits = 8 * (len(header) - at)
        return _closest(int.from_bytes(header[at:], "big"), bits, near)

    def open(self, packet: bytes, id_bytes: int, expected: int, tries: int = 1) -> Opened | None:
        """Take off the protection; None for what is no packet of this direction and generation.

        Of the number only the low bits are there: the closest to ``expected`` is tried, then ``tries`` - 1 higher ones.
        """
        at = 1 + id_bytes
        if len(packet) < at + 4 + _SAMPLE_BYTES or packet[0] & _LONG:
            return None
        self._prepare()
        header = self._unmask(packet, at)
        if bool(header[0] & _PHASE) != bool(self.generation & 1):
            return None
        bits = 8 * (len(header) - at)
        number = _closest(int.from_bytes(header[at:], "big"), bits, expected)
        sealed = packet[len(header) :]
        assert self._aead is not None
        for _ in range(tries):
            try:
                payload = self._aead.decrypt(self._nonce(number), sealed, header)
            except InvalidTag:
                number += 1 << bits
                continue
            self.newest = max(self.newest, number)
            return Opened(number, packet[1:at], payload)
        return None

    def seal(self, number: int, destination_id: bytes, payload: bytes) -> bytes:
        """A packet with these frames, at least 2 bytes of them. A number must never be used twice."""
        self._prepare()
        assert self._aead is not None
        first = _FIXED | (_PHASE if self.generation & 1 else 0) | (_NUMBER_BYTES - 1)
        header = bytes([first]) + destination_id + (number & 0xFFFF).to_bytes(_NUMBER_BYTES, "big")
        sealed = self._aead.encrypt(self._nonce(number), payload, header)
        self.newest = max(self.newest, number)
        at = 1 + len(destination_id)
        mask = self._mask(sealed[4 - _NUMBER_BYTES :][:_SAMPLE_BYTES])
        packet = bytearray(header + sealed)
        packet[0] ^= mask[0] & 0x1F
        for index in range(_NUMBER_BYTES):
            packet[at + index] ^= mask[1 + index]
        return bytes(packet)

    # --- keys ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        if self._header_key is None:
            self._header_key = self._expand(b"quic hp", self._key_bytes)
        if self._aead is None:
            key = self._expand(b"quic key", self._key_bytes)
            self._iv = self._expand(b"quic iv", _NONCE_BYTES)
            self._aead = ChaCha20Poly1305(key) if self._suite == CHACHA20_POLY1305_SHA256 else AESGCM(key)

    @property
    def _key_bytes(self) -> int:
        return 16 if self._suite == AES_128_GCM_SHA256 else 32

    def _expand(self, label: bytes, length: int) -> bytes:
        """HKDF-Expand-Label without context (RFC 8446 section 7.1)."""
        algorithm: HashAlgorithm = SHA384() if self._suite == AES_256_GCM_SHA384 else SHA256()
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
        return HKDFExpand(algorithm, length, info).derive(self._secret)

    def _nonce(self, number: int) -> bytes:
        return (int.from_bytes(self._iv, "big") ^ number).to_bytes(_NONCE_BYTES, "big")

    def _mask(self, sample: bytes) -> bytes:
        assert self._header_key is not None
        if self._suite == CHACHA20_POLY1305_SHA256:
            return Cipher(ChaCha20(self._header_key, sample), None).encryptor().update(bytes(5))
        return Cipher(AES(self._header_key), ECB()).encryptor().update(sample)[:5]

    def _unmask(self, packet: bytes, at: int) -> bytes:
        """The header in the clear, up to and with the number, which begins ``at``."""
        mask = self._mask(packet[at + 4 : at + 4 + _SAMPLE_BYTES])
        first = packet[0] ^ mask[0] & 0x1F
        size = (first & 3) + 1
        number = int.from_bytes(packet[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
        return bytes([first]) + packet[1:at] + number.to_bytes(size, "big")


def _closest(low: int, bits: int, expected: int) -> int:
    """The number with these low bits that is closest to the one expected (RFC 9000 appendix A.3)."""
    window = 1 << bits
    number = (expected & ~(window - 1)) | low if expected >= 0 else low
    if number <= expected - window // 2:
        return number + window
    if number > expected + window // 2 and number >= window:
        return number - window
    return number
