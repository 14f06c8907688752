"""Bytes held for peers by the whole node: unread payload and granted window growth."""

from __future__ import annotations


class MemoryCounter:
    """A counter with a limit. ``reserve`` refuses, ``add`` only counts; ``peak_bytes`` is for metrics."""

    __slots__ = ("limit_bytes", "peak_bytes", "refusals", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.refusals = 0

    @property
    def exceeded(self) -> bool:
        return self.used_bytes > self.limit_bytes

    def reserve(self, size: int) -> bool:
        """Count ``size`` more bytes, unless that would pass the limit."""
        if self.used_bytes + size > self.limit_bytes:
            self.refusals += 1
            return False
        self.add(size)
        return True

    def release(self, size: int) -> None:
        self.used_bytes -= size

    def add(self, size: int) -> None:
        """Count bytes that are already held (negative: let go); the caller sheds load when `exceeded`."""
        self.used_bytes += size
        if self.used_bytes > self.peak_bytes:
            self.peak_bytes = self.used_bytes
