"""The secret of one connection, and the whole path of a message through it (section 5.4).

Both directions use one key, and every connection between the same two nodes the same: a message can come back to who
sent it, which `intake` refuses by the sender's id.
"""

from __future__ import annotations

import base64

from mesh.protocols.lethean import smsg
from mesh.protocols.lethean.envelope import Envelope


class Session:
    """Seals and opens the messages of a connection. `password` also opens the bundles that travel on it."""

    __slots__ = ("_key", "password")

    def __init__(self, shared_secret: bytes) -> None:
        self.password = base64.b64encode(shared_secret).decode()
        self._key = smsg.derive_key(self.password)

    def seal(self, message: Envelope, nonce: bytes, unix_s: int) -> bytes:
        """The WebSocket message to send. `nonce` is 24 fresh random bytes, `unix_s` the time."""
        return smsg.seal(self._key, message.encode(), nonce, unix_s)

    def open(self, data: bytes) -> Envelope:
        """The message that arrived. Raises Truncated or Malformed; the caller drops it and goes on."""
        return Envelope.decode(smsg.open_body(self._key, data))
