"""What a worker needs from an application: something that starts, stops and watches miners, and a place for profiles.

Both are plain protocols of Python, so that any object with these methods will do. Their errors are `MeshError`; the text
of one goes to the peer that asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MinerFigures:
    """What one miner does now."""

    name: str
    type: str
    hashrate: float = 0.0
    shares: int = 0
    rejected: int = 0
    uptime_s: int = 0
    pool: str = ""
    algorithm: str = ""
    cpu_threads: int = 0


class Miners(Protocol):
    """Starts and stops. ``config`` is JSON text."""

    async def start(self, kind: str, config: str) -> str:
        """Start one and return its name. Raises `MeshError`."""

    async def stop(self, name: str) -> None:
        """End it. Raises `MeshError` with the text `miner NAME not found` for one that is not there."""

    def figures(self) -> Sequence[MinerFigures]:
        """All that run."""

    def log(self, name: str, lines: int, since_ms: int) -> list[str] | None:
        """Its last lines; None for one that is not there."""


class Profiles(Protocol):
    """Keeps configurations by name."""

    def get(self, name: str) -> str | None:
        """The JSON text, or None."""

    def save(self, name: str, config: str) -> None:
        """Keep it. Raises `MeshError`."""
