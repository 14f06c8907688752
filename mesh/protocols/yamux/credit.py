"""How far the receive windows of a session's streams have grown beyond the initial one, within its bounds."""

from __future__ import annotations

from collections.abc import Callable

from mesh.codecs.yamux import INITIAL_WINDOW_BYTES
from mesh.protocols.yamux.settings import Settings
from mesh.protocols.yamux.stream import Stream


class Credit:
    """``reserve(n)`` is asked before a window grows by n bytes and may refuse; ``release(n)`` gives back."""

    __slots__ = ("_release", "_reserve", "_settings", "grown_bytes")

    def __init__(
        self, settings: Settings, reserve: Callable[[int], bool], release: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._reserve = reserve
        self._release = release
        self.grown_bytes = 0

    def grow(self, stream: Stream, now: float, rtt_s: float | None) -> int:
        """Double the window when the last grant was used up within four round trips; returns by how many bytes."""
        settings = self._settings
        pace = max(4 * (rtt_s or 0.0), settings.tuning_floor_s)
        recent = now - stream.updated_at < pace
        stream.updated_at = now
        growth = min(
            stream.window_bytes,
            settings.max_window_bytes - stream.window_bytes,
            settings.max_growth_bytes - self.grown_bytes,
        )
        if growth <= 0 or not recent or not self._reserve(growth):
            return 0
        self.grown_bytes += growth
        stream.window_bytes += growth
        return growth

    def give_back(self, stream: Stream) -> None:
        """The stream has ended."""
        growth = stream.window_bytes - INITIAL_WINDOW_BYTES
        if growth:
            self.grown_bytes -= growth
            self._release(growth)
