"""Which programs are at the two ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from tools.bench import go_worker, py_libp2p
from tools.bench.rows import Probe, Row
from tools.interop_peers.process import PeerProcess


@dataclass(frozen=True, slots=True)
class Program:
    """How to start a program that listens on a transport; ``groups`` are those whose rows it can run, None for all, but
    for ``lacks``."""

    command: Callable[[str], list[str]]
    groups: frozenset[str] | None = None
    lacks: frozenset[str] = frozenset()

    def runs(self, row: Row) -> bool:
        return (self.groups is None or row.group in self.groups) and row.name not in self.lacks


def _mesh_command(transport: str) -> list[str]:
    return [sys.executable, "-m", "tools.bench.mesh_worker", "--transport", transport]


def _aioquic_command(transport: str) -> list[str]:
    return [*_mesh_command(transport), "--engine", "aioquic"]


PROGRAMS = {
    "mesh": Program(_mesh_command),
    "aioquic": Program(_aioquic_command, frozenset({"quic"})),
    "go": Program(go_worker.command),
    "second": Program(
        go_worker.second_command,
        frozenset({"bulk", "ping", "streams", "connections", "tls", "ws", "quic"}),
        lacks=frozenset({"quic-memory"}),
    ),
    "py": Program(
        py_libp2p.command,
        frozenset({"bulk", "ping", "streams", "connections", "tls", "quic"}),
        lacks=frozenset({"quic-memory"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A client and a server, each the name of a program; no server for a program by itself."""

    client: str
    server: str

    @property
    def name(self) -> str:
        """Client first."""
        return f"{self.client}-{self.server}" if self.server else self.client

    def runs(self, row: Row) -> bool:
        """Whether both ends know the row."""
        return all(PROGRAMS[each].runs(row) for each in (self.client, self.server))

    @contextlib.asynccontextmanager
    async def started(self, transport: str) -> AsyncIterator[tuple[PeerProcess, PeerProcess]]:
        """Fresh processes: client, server."""
        async with (
            PeerProcess(*PROGRAMS[self.server].command(transport)) as server,
            PeerProcess(*PROGRAMS[self.client].command(transport)) as client,
        ):
            yield client, server


BASELINE = Pair("go", "go")
WITNESS = Pair("second", "second")
"""Another Go program with itself."""
ALONE = Pair("mesh", "")
PAIRS = (Pair("mesh", "mesh"), Pair("mesh", "go"), Pair("go", "mesh"), BASELINE)
OPTIONAL = {
    "second": (WITNESS,),
    "py-libp2p": (Pair("mesh", "py"), Pair("py", "mesh"), Pair("py", "py")),
    "aioquic": (Pair("aioquic", "aioquic"), Pair("aioquic", "go"), Pair("go", "aioquic")),
}
"""Pairs with peers that are asked for by name; ``aioquic`` is this node with that engine for QUIC, ``second`` tells
whether the Go peer or the machine is why go-go is far from its reference."""


def known(peers: Sequence[str]) -> list[Pair]:
    """All pairs there are with these further peers."""
    return [*PAIRS, *(pair for peer in peers for pair in OPTIONAL[peer])]


def chosen(names: Sequence[str], peers: Sequence[str] = ()) -> list[Pair]:
    """The pairs of these names, all for none. Raises `ValueError`."""
    pairs = known(peers)
    unknown = [name for name in names if name not in {pair.name for pair in pairs}]
    if unknown:
        there = ", ".join(pair.name for pair in pairs)
        raise ValueError(f"no such pair: {', '.join(unknown)}; there are {there}")
    return [pair for pair in pairs if not names or pair.name in names]


def of_row(row: Row, pairs: Sequence[Pair]) -> list[Pair]:
    """Those of the pairs that the row is measured with."""
    return [ALONE] if row.probe is Probe.ALONE else [pair for pair in pairs if pair.runs(row)]
