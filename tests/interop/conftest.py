"""Nodes of this project beside peers written in Go, each in a process of its own, all on loopback.

The Go program is built before the tests run when it is missing; where that cannot be done they are skipped, and say so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.interop.peers import GoPeer
from tests.network.live import nothing_left
from tools.interop_peers.building import PeerMissing, ensure_built

_MISSING = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build outside of any test's time limit, and only for tests that will run."""
    wanted = any(item.get_closest_marker("interop") for item in session.items)
    if wanted and not session.config.option.collectonly:
        try:
            ensure_built()
        except PeerMissing as missing:
            session.config.stash[_MISSING] = str(missing)


@pytest.fixture(autouse=True, scope="session")
def _go_program(pytestconfig: pytest.Config) -> None:
    missing = pytestconfig.stash.get(_MISSING, None)
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
