"""Nodes of this project beside peers written in Go, each in a process of its own, all on loopback.

The Go program is built before the tests run when it is missing; where that cannot be done they are skipped, and say so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.interop.peers import GoPeer
from tests.network.live import nothing_left
from tools.interop_peers.building import CURRENT, KUBO, PEER, GoProgram, PeerMissing, ensure_built
from tools.interop_peers.isolation import IsolationImpossible, isolated
from tools.interop_peers.kubo import Kubo

_MISSING = pytest.StashKey[dict[GoProgram, str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build outside of any test's time limit, and only for tests that will run."""
    missing = session.config.stash.setdefault(_MISSING, {})
    tests = [item for item in session.items if item.get_closest_marker("interop")]
    wanted = [PEER] if tests else []
    if any(item.path.stem == "test_conformance" for item in tests):
        wanted.append(CURRENT)
    if any("kubo_built" in getattr(item, "fixturenames", ()) for item in tests):
        wanted.append(KUBO)
    for program in wanted if not session.config.option.collectonly else []:
        try:
            ensure_built(program)
        except PeerMissing as reason:
            missing[program] = str(reason)


@pytest.fixture(autouse=True, scope="session")
def _go_program(pytestconfig: pytest.Config) -> None:
    missing = pytestconfig.stash[_MISSING].get(PEER)
    if missing is not None:
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO PEERS: {missing}")


@pytest.fixture(autouse=True)
async def _nothing_left(_go_program: None) -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.fixture
async def go(_nothing_left: None) -> AsyncIterator[GoPeer]:
    """A Go peer with its default settings."""
    async with GoPeer() as peer:
        yield peer


@pytest.fixture
def isolation(_nothing_left: None) -> Iterator[None]:
    """A network of its own, with loopback alone, for all sockets and processes that the test makes."""
    try:
        with isolated():
            yield
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")


@pytest.fixture
def kubo_built(pytestconfig: pytest.Config) -> None:
    """For tests that start kubo themselves."""
    missing = pytestconfig.stash[_MISSING].get(KUBO)
    if missing is not None:
        pytest.skip(f"NOTHING WAS TESTED AGAINST KUBO: {missing}")


@pytest.fixture
async def kubo(kubo_built: None, isolation: None) -> AsyncIterator[Kubo]:
    """A kubo node in isolation; on its DHT for private networks, prefix `/ipfs/lan`, loopback counts."""
    async with Kubo() as node:
        yield node
