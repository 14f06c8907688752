"""The last lines that a program wrote, bounded in number and in bytes."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_LINES: Final = 10_000
MAX_LINE_BYTES: Final = 4096
MAX_HELD_BYTES: Final = 4 * 1024 * 1024


class ConsoleLog:
    """Lines with the Unix millisecond they came at; the oldest give way."""

    __slots__ = ("_held", "_lines")

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        self._held = 0

    def add(self, at_ms: int, line: bytes) -> str:
        """Keep a line, cut to `MAX_LINE_BYTES`; returns its text."""
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r\n")
        if len(self._lines) == MAX_LINES:
            self._held -= len(self._lines[0][1])
        self._lines.append((at_ms, text))
        self._held += len(text)
        while self._held > MAX_HELD_BYTES:
            self._held -= len(self._lines.popleft()[1])
        return text

    def last(self, count: int, since_ms: int = 0) -> list[str]:
        """The last ``count`` lines, of those that came after ``since_ms`` if that is above 0."""
        kept = (
            [text for at_ms, text in self._lines if at_ms > since_ms]
            if since_ms > 0
            else [text for _, text in self._lines]
        )
        return kept[-count:]
