"""Reading and writing files for a command, with an error that names the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from mesh.errors import StorageError, UsageError

MAX_BLOCK_BYTES: Final = 1024 * 1024


def read_whole(file: Path | None) -> bytes:
    """The bytes of a block's file, or of stdin. Raises `UsageError` over 1 MiB, `StorageError`."""
    try:
        if file is None:
            data = sys.stdin.buffer.read(MAX_BLOCK_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_BLOCK_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{file or 'stdin'}: {error.strerror or error}") from None
    if len(data) > MAX_BLOCK_BYTES:
        raise UsageError(
            f"a block has at most {MAX_BLOCK_BYTES} bytes; keep larger things with mesh file add"
        )
    return data


def write_file(file: Path, data: bytes) -> None:
    """Write a new file. Raises `StorageError`."""
    try:
        file.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror or error}") from None
