"""What leaves when: records that fill across writes, the rest of a write, turns that go on, buffers that are lent."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mesh.errors import StreamReset
from mesh.network import pump
from mesh.network.driver import NEAR_SEND_BYTES, Driver
from mesh.network.stream import Stream
from mesh.protocols import multistream, noise
from tests.network.live import BYTES, PATIENCE_S, Nodes, byte_driver, eventually
from tests.network.test_stream import TAKE, Taken, both_ends

RECORD = 65_507
WINDOW = 262_144
SIZES = [0, 1, RECORD - 1, RECORD, RECORD + 1]
SIZES += [count * RECORD + more for count in (2, 3, 4) for more in (-1, 0, 1, 1024)]
SIZES += [WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW]
OVER = pytest.mark.both_loops


@pytest.fixture(params=BYTES.values(), ids=list(BYTES))
def listen(request: pytest.FixtureRequest) -> str:
    """Transports whose driver is looked into here."""
    return str(request.param)


def driver_of(stream: Stream) -> Driver:
    return byte_driver(stream.connection)


@OVER
async def test_a_buffer_is_the_callers_again(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    expected = b"".join(bytes([at]) * size for at, size in enumerate(SIZES))
    reading = asyncio.create_task(far.read_exactly(len(expected)))
    async with asyncio.timeout(PATIENCE_S):
        for at, size in enumerate(SIZES):
            data = bytearray([at]) * size
            await near.write(data if at % 2 else memoryview(data))
            data[:] = b"!" * size
            data.clear()
        assert await reading == expected


@OVER
async def test_a_buffer_is_the_callers_again_after_a_cancelled_write(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    data = bytearray(b"a" * 2 * WINDOW)
    writing = asyncio.create_task(near.write(data))
    await eventually(lambda: not near._state.send_window, "a full window")
    writing.cancel()
    await asyncio.wait([writing])
    data[:] = b"b" * len(data)
    sent = WINDOW - len(multistream.opening(TAKE))
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(sent) == b"a" * sent


async def test_a_reset_lets_go_of_the_buffer(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    data = bytearray(2 * WINDOW)
    writing = asyncio.create_task(near.write(data))
    await eventually(lambda: not near._state.send_window, "a full window")
    far.reset(7)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(PATIENCE_S):
            await writing
    del writing
    data[:] = b"b" * len(data)


@pytest.mark.parametrize("size", [1000, 40_000, 200_000], ids=str)
async def test_views_of_any_shape_are_written_as_bytes(nodes: Nodes, size: int) -> None:
    near, far = await both_ends(nodes)
    data = bytes(range(250)) * (size // 250)
    strided = memoryview(data)[::2]
    async with asyncio.timeout(PATIENCE_S):
        for view in (memoryview(data).cast("H"), memoryview(bytearray(data)).cast("I"), strided):
            writing = asyncio.create_task(near.write(view))
            assert await far.read_exactly(view.nbytes) == view.tobytes()
            await writing


async def test_records_fill_across_writes(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    driver = driver_of(near)
    channel = driver.channel
    assert isinstance(channel, noise.Session)
    before = channel.send_nonce
    for letter in (b"a", b"b", b"c"):
        await near.write(letter * 70_000)
    assert channel.send_nonce - before == 3, "210,000 bytes are three records and a rest"
    assert driver.session.queued_bytes
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(210_000) == b"a" * 70_000 + b"b" * 70_000 + b"c" * 70_000
    assert driver.session.queued_bytes == 0


@OVER
@pytest.mark.parametrize("ending", ["wait", "close", "close_write"])
async def test_the_rest_of_a_write_leaves_by_itself(nodes: Nodes, listen: str, ending: str) -> None:
    near, far = await both_ends(nodes, listen)
    payload = bytes(range(250)) * 400
    await near.write(payload)
    assert driver_of(near).session.queued_bytes
    if ending != "wait":
        await getattr(near, ending)()
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(len(payload)) == payload
        if ending != "wait":
            assert await far.read() == b""


async def test_what_is_left_of_a_write_leaves_before_a_reset(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    await near.write(bytes(100_000))
    near.reset(9)
    with pytest.raises(StreamReset) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await far.read_all(100_000)
    assert caught.value.wire_code == 9
    await eventually(lambda: driver_of(near).session.queued_bytes == 0, "an empty queue")


@OVER
async def test_streams_of_a_connection_do_not_disturb_each_other(nodes: Nodes, listen: str) -> None:
    server = await nodes.start(listen)
    taken = Taken(server)
    _, _, connection = await nodes.pair(server=server)
    pairs = [(await connection.open([TAKE]), await taken.streams.get()) for _ in range(5)]

    async def talk(stream: Stream, letter: bytes) -> None:
        for size in (70_000, 10, 300_000, RECORD, 1, 131_000):
            await stream.write(bytearray(letter) * size)
        await stream.close_write()

    async with asyncio.timeout(PATIENCE_S):
        talks = [asyncio.create_task(talk(near, bytes([97 + at]))) for at, (near, _) in enumerate(pairs)]
        received = await asyncio.gather(*(far.read_all(1 << 20) for _, far in pairs))
        await asyncio.gather(*talks)
    total = 70_000 + 10 + 300_000 + RECORD + 1 + 131_000
    assert received == [bytes([97 + at]) * total for at in range(5)]


@OVER
async def test_a_paused_transport_holds_the_writer_and_nothing_else(
    nodes: Nodes, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.network.driver.HIGH_WATER_BYTES", 1000)
    near, far = await both_ends(nodes, listen)
    driver = driver_of(near)
    driver.pause_writing()
    data = bytearray(b"a" * 100_000)
    writing = asyncio.create_task(near.write(data))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writing.done()
    assert driver.session.queued_bytes == 0, "a writer that waits leaves nothing behind"
    driver.resume_writing()
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(100_000) == b"a" * 100_000
        await writing
        for size in (3 * RECORD, WINDOW, 2 * WINDOW):
            again = asyncio.create_task(near.write(bytearray(b"b" * size)))
            assert await far.read_exactly(size) == b"b" * size
            await again


async def test_a_turn_that_goes_on_speaks_before_its_end(
    nodes: Nodes, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = await both_ends(nodes, listen)
    driver = driver_of(near)
    monkeypatch.setattr(pump, "COALESCE_S", 60.0)
    monkeypatch.setattr(pump, "SLICE_S", 60.0)
    driver.schedule_flush()
    before = driver.sent_bytes
    await near.write(b"one")
    assert driver.sent_bytes == before, "it waits for what else the turn has to say"
    monkeypatch.setattr(pump, "SLICE_S", -1.0)
    await near.write(b"two")
    spoken = driver.sent_bytes
    assert spoken > before
    monkeypatch.setattr(pump, "SLICE_S", 60.0)
    await near.write(b"end")
    assert driver.sent_bytes == spoken, "the next slice begins"
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(9) == b"onetwoend"


async def test_much_is_said_before_the_end_of_a_turn(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = await both_ends(nodes)
    driver = driver_of(near)
    monkeypatch.setattr(pump, "COALESCE_S", 60.0)
    monkeypatch.setattr(pump, "SLICE_S", 60.0)
    driver.schedule_flush()
    before = driver.sent_bytes
    await near.write(bytes(pump.FLUSH_BYTES - 100))
    assert driver.sent_bytes == before
    await near.write(bytes(100))
    assert driver.sent_bytes > before + pump.FLUSH_BYTES
    async with asyncio.timeout(PATIENCE_S):
        assert await far.read_exactly(pump.FLUSH_BYTES) == bytes(pump.FLUSH_BYTES)


@OVER
async def test_little_waits_in_the_system_for_a_peer_on_this_machine(nodes: Nodes, listen: str) -> None:
    for stream in await both_ends(nodes, listen):
        raw = driver_of(stream).transport.get_extra_info("socket")
        held = raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) if raw is not None else 0
        assert held in (0, NEAR_SEND_BYTES, 2 * NEAR_SEND_BYTES)
        assert bool(held) is not listen.startswith("/memory")
