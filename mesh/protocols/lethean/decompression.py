"""What the header of an SMSG calls `compression`: gzip and zstd, both within bounds (section 5.3).

As in Go, members of gzip and frames of zstd may follow each other, and nothing else may. zstd wants a package that not
every installation has (extra `zstd`); it is imported by the first message of its kind.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from mesh.errors import Malformed, UsageError

MAX_TEXT_BYTES: Final = 16 * 2**20
"""The most that a compressed message may grow to. A message on the wire has 1 MiB at most."""
MAX_PARTS: Final = 256
"""Members or frames of one message."""
MAX_WINDOW_BYTES: Final = 32 * 2**20
"""The longest window of zstd that gets its memory."""

_GZIP: Final = 31
_STEP_BYTES: Final = 256
"""Of zstd at a time: 64 blocks of 128 KiB at most."""


def require_zstd() -> Any:
    """The module. Raises UsageError that names the extra when it is not installed."""
    try:
        import zstandard
    except ImportError:
        raise UsageError(
            "messages compressed with zstd need zstandard, which is not installed: pip install 'mesh[zstd]'"
        ) from None
    return zstandard


def decompress(data: bytes, compression: Any) -> bytes:
    """The text of a message; it is `data` for every other value than `gzip` and `zstd`. Raises Malformed."""
    if compression == "gzip":
        return _read_gzip(data)
    if compression == "zstd":
        return _read_zstd(data)
    return data


def _read_gzip(data: bytes) -> bytes:
    text = bytearray()
    for _ in range(MAX_PARTS):
        reader = zlib.decompressobj(_GZIP)
        try:
            text += reader.decompress(data, MAX_TEXT_BYTES + 1 - len(text))
        except zlib.error as error:
            raise Malformed("SMSG", None, f"gzip: {error}") from None
        _check_size(text)
        if not reader.eof:
            raise Malformed("SMSG", None, "gzip: ends early")
        data = reader.unused_data
        if not data:
            return bytes(text)
    raise Malformed("SMSG", None, f"gzip: more than {MAX_PARTS} members")


def _read_zstd(data: bytes) -> bytes:
    try:
        zstandard = require_zstd()
    except UsageError as error:
        raise Malformed("SMSG", None, str(error)) from None
    source = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    text, offset = bytearray(), 0
    for _ in range(MAX_PARTS):
        if offset == len(data):
            return bytes(text)
        reader = source.decompressobj()
        while not reader.eof:
            step = data[offset : offset + _STEP_BYTES]
            if not step:
                raise Malformed("SMSG", None, "zstd: ends early")
            try:
                text += reader.decompress(step)
            except zstandard.ZstdError as error:
                raise Malformed("SMSG", None, f"zstd: {error}") from None
            _check_size(text)
            offset += len(step) - len(reader.unused_data)
    if offset < len(data):
        raise Malformed("SMSG", None, f"zstd: more than {MAX_PARTS} frames")
    return bytes(text)


def _check_size(text: bytearray) -> None:
    if len(text) > MAX_TEXT_BYTES:
        raise Malformed("SMSG", None, f"grows to more than {MAX_TEXT_BYTES} bytes")
