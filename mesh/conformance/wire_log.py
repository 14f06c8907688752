"""What went over the wire in one case: bounded, readable, the same in every report."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

MAX_ENTRIES: Final = 400
MAX_ENTRY_BYTES: Final = 256
SENT: Final = ">"
RECEIVED: Final = "<"
NOTE: Final = "-"


@dataclass(frozen=True, slots=True)
class Entry:
    """``way`` is `>` sent, `<` received or `-` a note; ``size_bytes`` counts all of it, ``data`` is its beginning."""

    milliseconds: float
    layer: str
    way: str
    text: str
    data: bytes
    size_bytes: int

    def __str__(self) -> str:
        head = f"{self.milliseconds:9.1f} {self.way} {self.layer:<10} "
        if self.way == NOTE or self.text:
            return head + self.text
        more = f" ... ({self.size_bytes} bytes)" if self.size_bytes > len(self.data) else ""
        return head + f"[{self.size_bytes}] {self.data.hex()}{more}"


@dataclass(slots=True)
class WireLog:
    """The entries of a case in order; those beyond the limit are counted."""

    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def sent(self, layer: str, data: bytes, text: str = "") -> None:
        self._add(layer, SENT, text, data)

    def received(self, layer: str, data: bytes, text: str = "") -> None:
        self._add(layer, RECEIVED, text, data)

    def note(self, layer: str, text: str) -> None:
        self._add(layer, NOTE, text, b"")

    def _add(self, layer: str, way: str, text: str, data: bytes) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            self.left_out += 1
            return
        milliseconds = (time.monotonic() - self.started_s) * 1000
        self.entries.append(Entry(milliseconds, layer, way, text, bytes(data[:MAX_ENTRY_BYTES]), len(data)))

    def lines(self) -> list[str]:
        """The log as text."""
        lines = [str(each) for each in self.entries]
        return [*lines, f"{self.left_out} further entries are left out"] if self.left_out else lines
