"""Transport records of an established Noise session: a 2-byte length, ciphertext, tag (libp2p noise, "wire format").

`receive` takes bytes cut anywhere and returns plaintexts in order; `seal` turns frames into records. A record that
cannot be authenticated ends the session: `failure` is set, nothing more is decrypted.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag

from mesh.codecs.noise import LENGTH, MAX_PLAINTEXT_BYTES, TAG_BYTES
from mesh.errors import MeshError, PeerError, UsageError
from mesh.identity.chacha20_poly1305 import Cipher
from mesh.protocols.machine import Buffer
from mesh.protocols.noise.symmetric import MAX_NONCE

LENGTH_BYTES = LENGTH.size
CLAUSE = "noise: wire format"


class Session:
    """Both directions of an encrypted byte stream.

    ``send_key`` and ``receive_key`` are 32 bytes each; nonces count from the given starts. ``handshake_hash`` is the
    channel binding of the Noise framework, section 11.2.
    """

    __slots__ = (
        "_decrypt",
        "_encrypt",
        "_partial",
        "failure",
        "handshake_hash",
        "receive_nonce",
        "send_nonce",
    )

    BATCH_BYTES: Final = MAX_PLAINTEXT_BYTES
    """What fills a record."""

    def __init__(
        self,
        send_key: bytes,
        receive_key: bytes,
        handshake_hash: bytes,
        *,
        send_nonce: int = 0,
        receive_nonce: int = 0,
    ) -> None:
        self._encrypt = Cipher(send_key).encrypt
        self._decrypt = Cipher(receive_key).decrypt
        self._partial: bytearray | None = None
        self.send_nonce = send_nonce
        self.receive_nonce = receive_nonce
        self.handshake_hash = handshake_hash
        self.failure: PeerError | None = None

    @property
    def partial_bytes(self) -> int:
        """Bytes held of a record whose end has not come yet."""
        return 0 if self._partial is None else len(self._partial)

    def receive(self, data: Buffer) -> list[bytes]:
        """Decrypt every record that is complete; empty plaintexts are legal and left out.

        After a failure, and for whatever follows it, the result is what was authentic before; see `failure`.
        """
        plaintexts: list[bytes] = []
        if self.failure is not None:
            return plaintexts
        end = len(data)
        if (
            self._partial is None
            and end >= LENGTH_BYTES + TAG_BYTES
            and (data[0] << 8 | data[1]) == end - LENGTH_BYTES
            and self.receive_nonce < MAX_NONCE
        ):
            return self._receive_one(data)
        view = memoryview(data)
        position = 0
        if self._partial is not None:
            position = self._complete_partial(view, plaintexts)
            if self.failure is not None or self._partial is not None:
                return plaintexts
        nonce = self.receive_nonce
        decrypt = self._decrypt
        try:
            while end - position >= LENGTH_BYTES:
                record_end = position + LENGTH_BYTES + (view[position] << 8 | view[position + 1])
                if record_end > end:
                    break
                if nonce >= MAX_NONCE:
                    if self._check_length(record_end - position - LENGTH_BYTES):
                        self._fail("nonces are exhausted")
                    return plaintexts
                plaintext = decrypt(nonce, view[position + LENGTH_BYTES : record_end])
                nonce += 1
                position = record_end
                if plaintext:
                    plaintexts.append(plaintext)
        except InvalidTag:
            if self._check_length(record_end - position - LENGTH_BYTES):
                self._fail(f"record {nonce} is not authentic")
            return plaintexts
        finally:
            self.receive_nonce = nonce
        if position < end:
            self._partial = bytearray(view[position:])
            if end - position >= LENGTH_BYTES:
                self._check_length(view[position] << 8 | view[position + 1])
        return plaintexts

    def seal(self, frames: list[Buffer]) -> list[Buffer]:
        """Encrypt the frames' bytes as one stream, in records as large as they go; returns buffers to send in order.

        Raises `UsageError` when the nonces are used up (after 2^64 - 1 records); the connection must end then.
        """
        plain = frames[0] if len(frames) == 1 else b"".join(frames)
        nonce = self.send_nonce
        encrypt = self._encrypt
        total = len(plain)
        if 0 < total <= MAX_PLAINTEXT_BYTES and nonce < MAX_NONCE:
            self.send_nonce = nonce + 1
            return [LENGTH.pack(total + TAG_BYTES), encrypt(nonce, plain)]
        records: list[Buffer] = []
        view = memoryview(plain)
        for start in range(0, total, MAX_PLAINTEXT_BYTES):
            if nonce >= MAX_NONCE:
                raise UsageError("noise: nonces are exhausted; the connection must end")
            piece = view[start : start + MAX_PLAINTEXT_BYTES]
            records.append(LENGTH.pack(len(piece) + TAG_BYTES))
            records.append(encrypt(nonce, piece))
            nonce += 1
        self.send_nonce = nonce
        return records

    def output(self) -> list[Buffer]:
        """Nothing: a Noise session answers nothing by itself."""
        return []

    def close(self) -> list[Buffer]:
        """Nothing: Noise has no word for the end."""
        return []

    def cut_off(self) -> MeshError | None:
        """None: whether an end is a regular one is for the layer above to say."""
        return None

    def _receive_one(self, data: Buffer) -> list[bytes]:
        """Decrypt what is exactly one record, as most of what comes is."""
        nonce = self.receive_nonce
        try:
            plaintext = self._decrypt(nonce, data[LENGTH_BYTES:])
        except InvalidTag:
            self._fail(f"record {nonce} is not authentic")
            return []
        self.receive_nonce = nonce + 1
        return [plaintext] if plaintext else []

    def _complete_partial(self, view: memoryview, plaintexts: list[bytes]) -> int:
        """Finish the record begun by earlier input; returns how many bytes of the view that took."""
        partial = self._partial
        assert partial is not None
        position = 0
        if len(partial) < LENGTH_BYTES:
            position = min(LENGTH_BYTES - len(partial), len(view))
            partial += view[:position]
            if len(partial) < LENGTH_BYTES:
                return position
        length = partial[0] << 8 | partial[1]
        if not self._check_length(length):
            return len(view)
        taken = min(LENGTH_BYTES + length - len(partial), len(view) - position)
        partial += view[position : position + taken]
        if len(partial) == LENGTH_BYTES + length:
            self._partial = None
            plaintexts += self.receive(partial)
        return position + taken

    def _check_length(self, length: int) -> bool:
        if length < TAG_BYTES:
            self._fail(f"record of {length} bytes is shorter than its tag")
            return False
        return True

    def _fail(self, reason: str) -> None:
        self._partial = None
        self.failure = PeerError(f"noise: {reason}", protocol="/noise", clause=CLAUSE)
