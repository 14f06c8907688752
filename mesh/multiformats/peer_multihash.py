"""Which multihashes name a peer, and their text forms (libp2p digest, section 2).

Only a whole sha2-256 or an identity multihash can. Text is base58 when it starts with `Qm` or `1`, else a
version 1 CID whose codec is libp2p-key.
"""

from __future__ import annotations

from mesh.errors import Malformed
from mesh.multiformats.cid import LIBP2P_KEY, Cid
from mesh.multiformats.multihash import IDENTITY, SHA2_256, Multihash
from mesh.multiformats.positional import b58decode


def parse(text: str) -> bytes:
    """The multihash bytes of either text form. Raises DecodeError."""
    if text.startswith(("Qm", "1")):
        value = b58decode(text)
    else:
        cid = Cid.parse(text)
        if cid.version != 1 or cid.codec != LIBP2P_KEY:
            raise Malformed("peer id", 0, f"a CID of codec {cid.codec_name} instead of libp2p-key")
        value = cid.multihash.to_bytes()
    check(value)
    return value


def check(value: bytes) -> None:
    """Refuses bytes that cannot name a peer, with a DecodeError."""
    size = len(value)
    if size == 34 and value[:2] == b"\x12\x20":
        return
    if 2 < size < 130 and value[0] == IDENTITY and value[1] == size - 2:
        return
    multihash = Multihash.from_bytes(value)
    if multihash.code not in (IDENTITY, SHA2_256):
        raise Malformed("peer id", 0, f"multihash {multihash.name}; only sha2-256 and identity name peers")
    if not multihash.digest:
        raise Malformed("peer id", 0, "empty")
