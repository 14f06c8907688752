"""Profiles of miners as files: one JSON text each, by the name it was deployed under or by the `id` in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from mesh.apps.lethean.whole_file import read_whole, write_whole
from mesh.errors import DecodeError, LimitError, PeerError
from mesh.protocols.lethean.names import check_bundle_name

MAX_PROFILES: Final = 1000
MAX_BYTES: Final = 1024 * 1024


class ProfileFolder:
    """A folder of `<name>.json`; it is made with the first profile."""

    def __init__(self, folder: Path, max_profiles: int = MAX_PROFILES) -> None:
        self._folder = folder
        self._max_profiles = max_profiles

    def get(self, name: str) -> str | None:
        """The text of a profile, by name or else by id. Raises `StorageError`."""
        try:
            check_bundle_name(name)
        except DecodeError:
            return None
        found = self._read(self._folder / f"{name}.json")
        if found is not None:
            return found
        for path in sorted(self._folder.glob("*.json"))[: self._max_profiles]:
            text = self._read(path)
            if text is not None and _id_of(text) == name:
                return text
        return None

    def save(self, name: str, config: str) -> None:
        """Keep a profile. Raises `PeerError`, `LimitError`, `StorageError`."""
        try:
            check_bundle_name(name)
        except DecodeError as error:
            raise PeerError(f"invalid profile name: {error.reason}") from None
        path = self._folder / f"{name}.json"
        if not path.exists() and sum(1 for _ in self._folder.glob("*.json")) >= self._max_profiles:
            raise LimitError("worker", "profiles", self._max_profiles, "lethean.max_profiles")
        write_whole(path, config, 0o600)

    @staticmethod
    def _read(path: Path) -> str | None:
        data = read_whole(path, MAX_BYTES)
        return None if data is None else data.decode(errors="replace")


def _id_of(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
