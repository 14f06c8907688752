"""`peers.json` and its allowlist on the disk (the Lethean mesh, section 12.6).

The registry says when: drive `deadline` and `save_if_due` from a timer, `close` at the end. The allowlist is written at
once with each change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mesh.apps.lethean.whole_file import read_whole, write_whole
from mesh.errors import DecodeError, StorageError
from mesh.protocols.lethean.allowlist import Allowlist
from mesh.protocols.lethean.go_json import decode_utf8
from mesh.protocols.lethean.registry import PeerRegistry

MAX_FILE_BYTES: Final = 64 * 2**20


class PeersFile:
    """The files of one registry. `problem` is what was wrong with an allowlist that could not be read, if any."""

    def __init__(self, path: Path, registry: PeerRegistry) -> None:
        self.path = path
        self.allowlist_path = path.with_name(f"{path.name}.allowlist.json")
        self.problem = ""
        self._registry = registry

    def load(self) -> None:
        """Fills the registry. A broken allowlist is left out with a `problem`; broken peers raise StorageError."""
        data = read_whole(self.path, MAX_FILE_BYTES)
        if data is not None:
            try:
                self._registry.load(decode_utf8(data))
            except DecodeError as error:
                raise StorageError(f"{self.path}: damaged: {error}; repair it or move it away") from None
        data = read_whole(self.allowlist_path, MAX_FILE_BYTES)
        if data is not None:
            try:
                self._registry.allowlist = Allowlist.decode(decode_utf8(data))
            except DecodeError as error:
                self.problem = f"{self.allowlist_path}: ignored, it is damaged: {error}"

    def allow(self, key: str) -> None:
        """Lets a public key connect, now and after a new start. Raises StorageError."""
        if self._registry.allowlist.allow(key):
            write_whole(self.allowlist_path, self._registry.allowlist.encode())

    def revoke(self, key: str) -> None:
        """Takes that back. Raises StorageError."""
        if self._registry.allowlist.revoke(key):
            write_whole(self.allowlist_path, self._registry.allowlist.encode())

    def deadline(self) -> float | None:
        """When to call `save_if_due`."""
        return self._registry.deadline()

    def save_if_due(self, now: float) -> None:
        """Writes if it is time. Raises StorageError; it is due again then."""
        self._save(self._registry.take_save(now), now)

    def close(self, now: float) -> None:
        """Writes what was changed. Raises StorageError."""
        self._save(self._registry.take_save(now, closing=True), now)

    def _save(self, text: str | None, now: float) -> None:
        if text is None:
            return
        try:
            write_whole(self.path, text)
        except StorageError:
            self._registry.fail_save(now)
            raise
