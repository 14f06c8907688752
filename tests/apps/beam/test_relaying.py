"""A relay with Beam: who wants more of it than one peer may have is scored."""

from __future__ import annotations

import asyncio

import pytest

from mesh.apps.beam.beam import Beam
from mesh.codecs.relay import HopMessage, HopType, Status
from mesh.config import BeamSection
from mesh.node import Node
from mesh.protocols.beam.abuse import MAX_REFUSED_CIRCUITS
from mesh.protocols.relay import HOP_PROTOCOL
from tests.apps.beam.beams import Beams
from tests.network.live import PATIENCE_S
from tests.services.relay.network import relay_node, server_of


async def reserve(node: Node, relay: Node) -> int | None:
    """What a relay answers to a request for a reservation."""
    async with asyncio.timeout(PATIENCE_S), await node.open(relay.peer_id, HOP_PROTOCOL) as stream:
        await stream.write_message(HopMessage(type=HopType.RESERVE).encode())
        return HopMessage.decode(await stream.read_message(4096)).status


@pytest.mark.parametrize(
    ("limits", "alerts"),
    [({"max_reservations_per_ip": 1}, ["relay-hoarding"]), ({"max_reservations": 1}, [])],
    ids=["an address has enough", "the relay is full"],
)
async def test_who_is_refused_places_at_a_relay(
    beams: Beams, limits: dict[str, int], alerts: list[str]
) -> None:
    relay = await relay_node(beams, **limits)
    holder, hoarder = [await beams.start("") for _ in range(2)]
    for each in (holder, hoarder):
        await each.connect(relay.listen_addrs[0])
    async with Beam(relay, BeamSection(enabled=True)) as beam:
        assert await reserve(holder, relay) == Status.OK
        for _ in range(MAX_REFUSED_CIRCUITS + 2):
            assert await reserve(hoarder, relay) == Status.RESERVATION_REFUSED
        raised = beam.abuse.alerts(0.0)
        assert [each.detector for each in raised] == alerts
        assert {each.peer for each in raised} <= {hoarder.peer_id}
        assert server_of(relay).refused
    assert not server_of(relay).refused
