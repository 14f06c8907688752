"""Text files that are there whole or not at all: written beside, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from mesh.errors import StorageError


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Replaces a file in one step, by way of `<path>.tmp`, which is gone when that fails. Raises StorageError."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}; check the folder"
        ) from None


def read_whole(path: Path, max_bytes: int) -> bytes | None:
    """The bytes of a file, None when there is none. Raises StorageError."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be read: {error.strerror or error}; check owner and mode"
        ) from None
    if len(data) > max_bytes:
        raise StorageError(f"{path}: longer than {max_bytes} bytes; move it away")
    return data
