"""Which inbound peers may connect (section 12.5). The mode is not stored: each start is open."""

from __future__ import annotations

from enum import IntEnum

from mesh.errors import Malformed
from mesh.protocols.lethean import go_json


class AuthMode(IntEnum):
    """OPEN lets everyone in; ALLOWLIST only registered peers and keys on the list."""

    OPEN = 0
    ALLOWLIST = 1


class Allowlist:
    """Public keys as texts, compared exactly."""

    __slots__ = ("_keys",)

    def __init__(self, keys: list[str] | None = None) -> None:
        self._keys = {key for key in keys or () if key}

    def allow(self, key: str) -> bool:
        """Adds a key; True when the list changed and is to be written."""
        if not key or key in self._keys:
            return False
        self._keys.add(key)
        return True

    def revoke(self, key: str) -> bool:
        """Removes a key; True when the list changed and is to be written."""
        if key not in self._keys:
            return False
        self._keys.remove(key)
        return True

    def keys(self) -> list[str]:
        """The keys in the order of the file."""
        return sorted(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def encode(self) -> str:
        """The text of the file: sorted, indented by two spaces, `[]` when empty."""
        lines = ",\n".join(f"  {go_json.write_text(key, html=True)}" for key in self.keys())
        return f"[\n{lines}\n]" if lines else "[]"

    @classmethod
    def decode(cls, text: str) -> Allowlist:
        """The list of a file's text; empty strings are skipped. Raises Malformed."""
        found = go_json.read(text, "allowlist")
        if found is None:
            return cls()
        if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
            raise Malformed("allowlist", None, "not an array of strings")
        return cls(found)
