"""Trix containers: a magic of four letters, a JSON header that nothing authenticates, a payload (section 5.2)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from mesh.codecs.smsg import Container
from mesh.errors import Malformed
from mesh.protocols.lethean import go_json

MAX_HEADER_BYTES: Final = 64 * 2**10
"""Go takes 16 MiB; the headers that exist have about a hundred bytes."""

_HASHES: Final = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


def write_container(magic: bytes, header: str, payload: bytes) -> bytes:
    """A container of a header that is JSON text already, its keys in ascending order."""
    return Container(magic, header.encode(), payload).encode()


def read_container(magic: bytes, data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and payload. A checksum in the header has to be that of the payload. Raises Truncated or Malformed."""
    if data[:4] != magic and len(data) >= 4:
        got = bytes(data[:4]).decode("ascii", "replace")
        raise Malformed("trix", 0, f"invalid magic number: expected {magic.decode()}, got {got}")
    found = Container.decode(data)
    if len(found.header) > MAX_HEADER_BYTES:
        raise Malformed(
            "trix", 5, f"a header of {len(found.header)} bytes, at most {MAX_HEADER_BYTES} are read"
        )
    text = go_json.whole_surrogates(go_json.decode_utf8(found.header))
    header = go_json.read(text, "trix.header")
    if header is None:
        header = {}
    if not isinstance(header, dict):
        raise Malformed("trix.header", 9, "not an object")
    _check(header, found.payload)
    return header, found.payload


def _check(header: dict[str, Any], payload: bytes) -> None:
    checksum = header.get("checksum")
    if not isinstance(checksum, str):
        return
    algorithm = header.get("checksum_algo")
    if not isinstance(algorithm, str) or algorithm.lower() not in _HASHES:
        raise Malformed("trix.header", None, f"no such checksum_algo: {str(algorithm)[:20]}")
    actual = hashlib.new(algorithm.lower(), payload).hexdigest()
    if not hmac.compare_digest(actual.encode(), checksum.encode("utf-8", "replace")):
        raise Malformed("trix", None, "checksum mismatch")
