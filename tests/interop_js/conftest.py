"""Agents of this project beside stock js-libp2p nodes, each of those in a process of its own, all on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.apps.agent.agent import Agent
from mesh.config import AgentSection, Config, GossipSection, NetworkSection
from mesh.node import Node
from tests.network.live import QUIC, TCP, nothing_left
from tools.interop_peers.building import PeerMissing
from tools.interop_peers.javascript import PEER, ensure_installed
from tools.interop_peers.process import PeerProcess

_MISSING = pytest.StashKey[str]()
WS = f"{TCP}/ws"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install outside of any test's time limit, and only for tests that will run."""
    tests = [item for item in session.items if item.get_closest_marker("interop_js")]
    if not tests or session.config.option.collectonly:
        return
    try:
        ensure_installed()
    except PeerMissing as reason:
        session.config.stash[_MISSING] = str(reason)


@pytest.fixture(autouse=True)
def _installed(pytestconfig: pytest.Config) -> None:
    missing = pytestconfig.stash.get(_MISSING, "")
    if missing:
        pytest.skip(f"NOTHING WAS TESTED AGAINST JS-LIBP2P: {missing}")


@pytest.fixture
async def js(_installed: None) -> AsyncIterator[PeerProcess]:
    """A stock js-libp2p node with GossipSub and the protocols of agents."""
    node = ensure_installed()
    async with PeerProcess(str(node), str(PEER)) as peer:
        yield peer


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent of ours that tells of itself every second."""
    config = Config(
        network=NetworkSection(listen=(TCP, WS, QUIC)),
        gossip=GossipSection(enabled=True),
        agent=AgentSection(enabled=True, name="ours", announce_interval_s=1.0, status_interval_s=1.0),
    )
    await asyncio.to_thread(int)  # the loop's own thread, which the store waits in when it closes
    async with nothing_left(), Node(config) as node, Agent(node, config) as running:
        yield running
