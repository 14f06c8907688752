"""The peers that reports are about: how each is started, or why it cannot be had here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from tools.bench import py_libp2p
from tools.conformance.ourselves import TOPIC
from tools.interop_peers import building, javascript, rust
from tools.interop_peers.process import PeerProcess

PY_PEER = Path(__file__).parent.parent / "interop_peers" / "py_peer.py"
BASELINES = Path(__file__).parent.parent.parent / "tests" / "conformance" / "baselines"
SECOND_TOPIC = "conform-second"
LIFETIME_MS = 900_000


@dataclass(frozen=True, slots=True)
class ConformancePeer:
    """``name`` is the implementation and its release, as its baseline is called. ``command`` prepares and starts it; it
    raises `PeerMissing`. ``heavy``: it is made by a target of its own, outside `make test`. ``topics`` are joined by
    command where arguments cannot say it. ``suites``: all of the catalogue for none. ``fresh``: each case gets a process
    of its own, for some end it; ``mortal``: each section does, for what others leave behind ends it or slows it, and
    what is lost behind a case that ends it is tried again. ``jobs``: cases at a time, where the usual number is too
    much."""

    name: str
    title: str
    command: Callable[[], list[str]]
    heavy: bool = False
    topics: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    fresh: bool = False
    mortal: bool = False
    jobs: int | None = None

    @property
    def baseline(self) -> Path:
        return BASELINES / f"{self.name}.json"


def _ourselves() -> list[str]:
    return [sys.executable, "-m", "tools.conformance.ourselves"]


def _go_current() -> list[str]:
    flags = ["--kad", "--relay", "--autonat", "--topic", TOPIC]
    return [str(building.ensure_built(building.CURRENT)), *flags]


def _go_pinned() -> list[str]:
    flags = ["serve", "--security", "both", "--transport", "tcp,quic"]
    return [str(building.ensure_built(building.PEER)), *flags]


def _javascript() -> list[str]:
    node = javascript.ensure_installed()
    return ["env", f"LIFETIME_MS={LIFETIME_MS}", str(node), str(javascript.PEER)]


def _python() -> list[str]:
    py_libp2p.ensure_installed()
    return [str(py_libp2p.PYTHON), str(PY_PEER), TOPIC, SECOND_TOPIC]


def _rust() -> list[str]:
    return [str(rust.found(rust.NODE)), TOPIC, SECOND_TOPIC]


def _gossip(release: str) -> Callable[[], list[str]]:
    return lambda: [str(rust.found(rust.GOSSIP[release])), TOPIC, SECOND_TOPIC]


PEERS = (
    ConformancePeer("mesh", "mesh", _ourselves),
    ConformancePeer("go-0.51.0", "go-libp2p 0.51.0, kad-dht 0.40.0, pubsub 0.17.0", _go_current),
    ConformancePeer("go-0.47.0", "go-libp2p 0.47.0", _go_pinned),
    ConformancePeer("rust-0.57.1", "rust-libp2p 0.57.1", _rust, heavy=True),
    ConformancePeer("js-3", "js-libp2p 3", _javascript, topics=(TOPIC, SECOND_TOPIC)),
    ConformancePeer("py-0.8.1", "py-libp2p 0.8.1", _python, heavy=True, jobs=2, mortal=True),
    *(
        ConformancePeer(
            f"rust-gossipsub-{each}",
            f"rust libp2p-gossipsub {each}",
            _gossip(each),
            heavy=True,
            suites=("gossipsub/9",),
            fresh=True,
        )
        for each in rust.RELEASES
    ),
)


def peer_named(name: str) -> ConformancePeer:
    """Raises `KeyError` for a name that there is not."""
    return {each.name: each for each in PEERS}[name]


@contextlib.asynccontextmanager
async def running(peer: ConformancePeer) -> AsyncIterator[str]:
    """Start it; yields the address at which the harness meets it. Raises `PeerMissing`."""
    async with PeerProcess(*peer.command()) as process:
        for each in peer.topics:
            await process.call("subscribe", topic=each)
        yield next(each for each in process.addresses if "/tcp/" in each and "/ws" not in each)
