"""Where an API of the running daemon is, written into its data folder for those who look for it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from mesh.config.document import write_atomically


class Note:
    """A file of that name; without a folder nothing is written."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._file = None if folder is None else folder / name
        self._written = ""

    def write(self, url: str, peer: str) -> None:
        """Say where the API is, and whose. Raises `StorageError`."""
        if self._file is None:
            return
        note = {"url": url, "pid": os.getpid(), "peer": peer, "run": secrets.token_hex(8)}
        self._written = json.dumps(note) + "\n"
        write_atomically(self._file, self._written)

    def remove(self) -> None:
        """Take it away, unless another daemon has written its own since."""
        if self._file is None or not self._written:
            return
        written, self._written = self._written, ""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if self._file.read_text() == written:
                self._file.unlink()
