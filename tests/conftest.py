"""What every test of a live node uses: nodes that end with the test, the loops to run under, the check for leftovers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.network.live import Nodes


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_loops: runs under asyncio's own loop and under uvloop")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("both_loops"):
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Starts nodes on loopback or in memory; all of them end with the test."""
    async with Nodes() as started:
        yield started


@pytest.fixture(
    params=["/ip4/127.0.0.1/tcp/0", "/memory/0", "/ip4/127.0.0.1/udp/0/quic-v1"],
    ids=["tcp", "memory", "quic"],
)
def listen(request: pytest.FixtureRequest) -> str:
    """An address to listen on, for tests that hold over every transport."""
    return str(request.param)
