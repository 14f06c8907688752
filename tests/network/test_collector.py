"""The garbage collector's thresholds, and what it need not look for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mesh.network.collector import DEFAULTS, LAST_THRESHOLD, collect_less_often
from mesh.network.connection import Connection
from mesh.network.driver import Driver
from mesh.protocols.noise import Handshake, Session
from mesh.services import echo
from tests.network.live import Nodes, eventually


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("default", sorted(DEFAULTS), ids=str)
def test_defaults_are_raised(default: tuple[int, int, int]) -> None:
    gc.set_threshold(*default)
    assert collect_less_often()
    assert gc.get_threshold() == (*default[:2], LAST_THRESHOLD)


@pytest.mark.parametrize("chosen", [(0, 0, 0), (500, 5, 5), (50_000, 10, 10)], ids=str)
def test_a_programs_own_choice_is_kept(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    assert not collect_less_often()
    assert gc.get_threshold() == chosen


async def test_a_connection_that_has_ended_is_no_garbage() -> None:
    """Its parts know each other in circles, which are broken when it ends: memory goes back at once."""
    kinds = {Connection, Driver, Handshake, Session}

    def left() -> int:
        return sum(type(each) in kinds for each in gc.get_objects())

    gc.collect()
    before = left()
    gc.disable()
    try:
        async with Nodes() as nodes:
            server, client, connection = await nodes.pair()
            async with await client.open(server.peer_id, echo.PROTOCOL_ID) as stream:
                await stream.write(b"here")
                assert await stream.read_exactly(4) == b"here"
            assert left() > before
            await connection.close()
            del stream, connection
            await eventually(lambda: not server.connections, "closed")
            await eventually(lambda: left() <= before, "freed")
    finally:
        gc.enable()
