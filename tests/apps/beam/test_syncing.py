"""Records that two nodes give each other."""

from __future__ import annotations

import asyncio

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.registry import Wanted
from mesh.codecs.beam_sync import MAX_FRAME_BYTES, MAX_RECORDS, Mark, SyncFrame, SyncStatus
from mesh.errors import PeerError
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.beam.gossip_message import PROTOCOL_ID as GOSSIP_PROTOCOL
from mesh.protocols.beam.sync import PROTOCOL_ID
from tests.apps.beam.beams import Beams, join, until
from tests.network.live import PATIENCE_S
from tests.protocols.beam.signers import service


async def apart(beams: Beams, sync_s: float = 0.0) -> tuple[Beam, Beam]:
    """Two nodes without a DHT, of which each has a service and a name that the other never heard of."""
    one, two = [await beams.beam(dht="off", sync_s=sync_s) for _ in range(2)]
    await one.register("first", lambda service_id: Wanted(service_id, "http"))
    await two.register("second", lambda service_id: Wanted(service_id, "http"))
    for each in (one, two):
        each.node.unhandle(GOSSIP_PROTOCOL)
    return one, two


async def connection(one: Beam, two: Beam) -> Connection:
    found = await one.node.connect(two.node.listen_addrs[0])
    async with asyncio.timeout(PATIENCE_S):
        while PROTOCOL_ID not in (found.remote_protocols or ()):  # noqa: ASYNC110 - identify has no event
            await asyncio.sleep(0.005)
    return found


async def test_each_side_learns_what_the_other_knows(beams: Beams) -> None:
    one, two = await apart(beams)
    assert await one.sync.exchange(await connection(one, two)) == 2
    await until(lambda: two.sync.learnt == 2)
    for learner, teacher, name in ((one, two, "second"), (two, one, "first")):
        assert learner.table.get(f"{name}.local", teacher.node.peer_id)
        assert [each.owner for each in learner.book.known(name)] == [teacher.node.peer_id]
        found = await learner.find(name)
        assert found.providers[0].record.peer_id == teacher.node.peer_id
    assert one.node.counters["beam.sync:asked"] == 1


async def test_what_was_withdrawn_stays_so(beams: Beams) -> None:
    one, two = await apart(beams)
    link = await connection(one, two)
    await one.sync.exchange(link)
    await until(lambda: two.table.get("first.local", one.node.peer_id))
    two.sync._turns._at.clear()
    await one.registry.withdraw("first.local")
    await one.sync.exchange(link)
    await until(lambda: two.table.get("first.local", one.node.peer_id).record.withdrawn)  # type: ignore[union-attr]


async def test_who_asks_too_often_is_refused(beams: Beams) -> None:
    one, two = await apart(beams)
    link = await connection(one, two)
    await one.sync.exchange(link)
    with pytest.raises(PeerError) as raised:
        await one.sync.exchange(link)
    assert raised.value.wire_code == SyncStatus.TOO_SOON
    assert two.node.counters["beam.sync:too_soon"] == 1


async def test_a_forged_record_ends_the_exchange_and_is_counted(beams: Beams) -> None:
    one, two = await apart(beams)
    await connection(one, two)
    damaged = bytearray(service().envelope)
    damaged[-1] ^= 1
    stream = await one.node.open(two.node.peer_id, PROTOCOL_ID)
    await stream.write_message(
        SyncFrame(marks=[Mark(origin=bytes(one.node.peer_id.to_bytes()), digest=b"x")], final=True).encode()
    )
    SyncFrame.decode(await stream.read_message(MAX_FRAME_BYTES))
    await stream.write_message(SyncFrame(records=[bytes(damaged)], final=True).encode())
    await until(lambda: two.node.counters["beam.sync:forged"] == 1)
    assert two.sync.learnt == 0


@pytest.mark.parametrize(
    "frame",
    [SyncFrame(records=[service().envelope] * MAX_RECORDS), SyncFrame(wanted=[b"first"])],
    ids=["records", "wanted"],
)
async def test_who_never_ends_is_cut_off(beams: Beams, frame: SyncFrame) -> None:
    one, two = await apart(beams)
    link = await connection(one, two)
    two.node.unhandle(PROTOCOL_ID)

    @two.node.protocol(PROTOCOL_ID)
    async def flood(stream: Stream) -> None:
        await stream.read_message(MAX_FRAME_BYTES)
        number = 0
        while True:
            number += 1
            if frame.wanted:
                frame.wanted = [b"\x00\x08" + (number * 64 + each).to_bytes(8, "big") for each in range(64)]
            await stream.write_message(frame.encode())

    with pytest.raises(PeerError, match="more than"):
        await one.sync.exchange(link)
    assert one.sync.learnt == 0


async def test_who_comes_while_nobody_is_there_is_asked_soon(beams: Beams) -> None:
    one, two = await apart(beams, sync_s=0.2)
    await connection(one, two)
    await until(lambda: one.table.get("second.local", two.node.peer_id))
    await until(lambda: two.table.get("first.local", one.node.peer_id))


async def test_nobody_is_asked_where_the_time_between_is_zero(beams: Beams) -> None:
    one, two = [await beams.beam(dht="off") for _ in range(2)]
    await join(one, two)
    assert one.sync._chosen()
    assert (one.sync.exchanges, two.sync.exchanges) == (0, 0)
