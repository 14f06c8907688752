"""Keys of value records, `/namespace/rest`, and the error for bad records (libp2p digest, section 14)."""

from __future__ import annotations

from mesh.errors import PeerError

MAX_KEY_BYTES = 1024


class InvalidRecordError(PeerError):
    """A record, or the key it came under, breaks the rules of the DHT. The answer to one is a stream reset."""

    code = "invalid-record"

    def __init__(self, reason: str, clause: str = "kad-dht: validation") -> None:
        super().__init__(reason, protocol="kad", clause=clause)


def split(key: bytes) -> tuple[str, bytes]:
    """Namespace and rest of a key: `b"/pk/..."` gives `("pk", b"...")`.

    Raises InvalidRecordError without a leading slash, without a second one, for an empty namespace or one that is not
    ASCII, and for more than MAX_KEY_BYTES bytes.
    """
    if len(key) > MAX_KEY_BYTES:
        raise InvalidRecordError(f"a key of {len(key)} bytes, at most {MAX_KEY_BYTES}")
    start, namespace, slash, rest = key[:1], *key[1:].partition(b"/")
    if start != b"/" or not slash or not namespace or not namespace.isascii():
        raise InvalidRecordError(f"no key of the form /namespace/rest: {key[:40]!r}")
    return namespace.decode(), rest
