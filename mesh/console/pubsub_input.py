"""Messages to publish: an argument, a file or stdin as a whole, or the lines of either as they come."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh.errors import StorageError, UsageError

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""What `gossip.max_rpc_bytes` can be set to: no message is longer."""
READ_BYTES: Final = 64 * 1024
BATCH_BYTES: Final = 256 * 1024
BATCH_MESSAGES: Final = 256
"""Lines that are there at once travel together, so many at the most."""


def whole(file: Path | None) -> bytes:
    """All of a file, or of stdin for None and `-`. Raises `StorageError`, and `UsageError` when it is too long."""
    content = bytearray()
    with _opened(file) as source:
        while chunk := _read(source, file):
            content += chunk
            if len(content) > MAX_MESSAGE_BYTES:
                raise UsageError(
                    f"{_name(file)}: a message has at most {MAX_MESSAGE_BYTES} bytes, its envelope included "
                    "(gossip.max_rpc_bytes may say less)"
                )
    return bytes(content)


def batches(file: Path | None) -> Iterator[list[bytes]]:
    """The lines of a file, or of stdin for None and `-`, as they come and without their newlines. Raises as `whole`."""
    rest, number = b"", 0
    with _opened(file) as source:
        while chunk := _read(source, file):
            *lines, rest = (rest + chunk).split(b"\n")
            number += len(lines)
            if len(rest) > MAX_MESSAGE_BYTES:
                raise UsageError(f"{_name(file)}: line {number + 1} has more than {MAX_MESSAGE_BYTES} bytes")
            yield from _cut(lines)
    if rest:
        yield [rest]


def _cut(lines: list[bytes]) -> Iterator[list[bytes]]:
    """In order; what is long goes alone."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= BATCH_MESSAGES or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


@contextmanager
def _opened(file: Path | None) -> Iterator[int]:
    """A descriptor to read from."""
    if file is None or str(file) == "-":
        if sys.stdin is None:
            raise UsageError("stdin is closed; give DATA or --file")
        yield sys.stdin.fileno()
        return
    try:
        source = file.open("rb", buffering=0)
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from None
    with source:
        yield source.fileno()


def _read(source: int, file: Path | None) -> bytes:
    try:
        return os.read(source, READ_BYTES)
    except OSError as error:
        raise StorageError(f"{_name(file)}: cannot be read: {error.strerror}") from None


def _name(file: Path | None) -> str:
    return "stdin" if file is None or str(file) == "-" else str(file)
