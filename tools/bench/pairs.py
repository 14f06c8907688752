"""Which programs are at the two ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from tools.bench import go_worker
from tools.interop_peers.process import PeerProcess


def _mesh_command() -> list[str]:
    return [sys.executable, "-m", "tools.bench.mesh_worker"]


PROGRAMS: dict[str, Callable[[], list[str]]] = {"mesh": _mesh_command, "go": go_worker.command}


@dataclass(frozen=True, slots=True)
class Pair:
    """A client and a server, each the name of a program."""

    client: str
    server: str

    @property
    def name(self) -> str:
        """Client first."""
        return f"{self.client}-{self.server}"

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[tuple[PeerProcess, PeerProcess]]:
        """Fresh processes: client, server."""
        async with (
            PeerProcess(*PROGRAMS[self.server]()) as server,
            PeerProcess(*PROGRAMS[self.client]()) as client,
        ):
            yield client, server


BASELINE = Pair("go", "go")
PAIRS = (Pair("mesh", "mesh"), Pair("mesh", "go"), Pair("go", "mesh"), BASELINE)


def chosen(names: Sequence[str]) -> list[Pair]:
    """The pairs of these names, all for none. Raises `ValueError`."""
    known = {pair.name: pair for pair in PAIRS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no such pair: {', '.join(unknown)}; there are {', '.join(known)}")
    return [pair for pair in PAIRS if not names or pair.name in names]
