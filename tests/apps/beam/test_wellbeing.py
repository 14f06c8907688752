"""Health, alerts and trust, told in gossip where a node is to tell of them."""

from __future__ import annotations

import time

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.wellbeing import TRUST_TAG
from mesh.codecs.beam_route import RouteStatus
from mesh.errors import UsageError
from mesh.network.connection_manager import Settings
from mesh.protocols.beam.alert_log import AGREED
from mesh.protocols.beam.gossip_message import (
    ALERT,
    HEALTH,
    HEALTH_TOPIC,
    TRUST_TOPIC,
    open_message,
    sign_message,
)
from mesh.protocols.beam.reports import PEER_DOWN, AlertReport
from tests.apps.beam.beams import Beams, join, until
from tests.apps.beam.test_chains import ask, row
from tests.protocols.beam.signers import KEYS, PEERS


async def test_nothing_is_told_until_it_is_to_be(beams: Beams) -> None:
    one, two = await beams.network(2)
    await one.wellbeing.look()
    assert {each.name for each in one.wellbeing.own.checks} >= {"cpu", "network", "p2p"}
    one.wellbeing.unreachable(PEERS[0], "silent")
    await one.wellbeing.look()
    await one.gossip.neighbours.written()
    assert two.node.counters["beam.gossip:health"] == 0
    assert two.node.counters["beam.gossip:alert"] == 0


async def test_health_and_trust_are_told(beams: Beams) -> None:
    one, two = await beams.network(2, share_health=True, share_trust=True)
    await one.wellbeing.look()
    own, other = one.node.peer_id, two.node.peer_id
    await until(lambda: own in two.wellbeing.heard_of)
    assert two.wellbeing.heard_of[own] == one.wellbeing.own
    await until(lambda: len(two.wellbeing.trusted))
    assert two.wellbeing.trusted.reputation(other) == pytest.approx(one.wellbeing.levels()[other], abs=0.01)


async def test_a_peer_is_called_down_by_three_and_avoided(beams: Beams) -> None:
    made = await beams.network(AGREED + 1, share_health=True)
    listener, others = made[0], made[1:]
    gone = PEERS[0]
    for each in others[:-1]:
        each.wellbeing.unreachable(gone, "no answer")
        await each.wellbeing.look()
    await until(lambda: len(_about(listener, PEER_DOWN)) == AGREED - 1)
    assert not listener.wellbeing.down
    assert listener.routing.table.standing(gone, time.monotonic()) == 1.0
    others[-1].wellbeing.unreachable(gone, "no answer")
    await others[-1].wellbeing.look()
    await until(lambda: listener.wellbeing.down == {gone})
    assert listener.routing.table.standing(gone, time.monotonic()) < 0.6
    assert listener.wellbeing.document()["down"] == [str(gone)]


def _about(beam: Beam, kind: str) -> list[object]:
    return [each for each in beam.wellbeing.alerts.kept(time.monotonic()) if each.report.type == kind]


async def test_an_abuser_is_an_alert(beams: Beams) -> None:
    one = await beams.beam()
    for _ in range(5):
        one.abuse.bad_record(PEERS[0], time.monotonic())
    (logged,) = one.wellbeing.alerts.kept(time.monotonic())
    assert (logged.report.type, logged.report.severity, logged.origin) == (
        "security-threat",
        "high",
        one.node.peer_id,
    )


async def test_chains_pass_for_whom_the_forwarder_trusts(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3, least_trust=50)
    assert await ask(opener, forwarder, [end.node.peer_id]) == RouteStatus.OK
    for number in range(5):
        forwarder.abuse.bad_record(opener.node.peer_id, time.monotonic() + number / 100)
    for _ in range(3):
        forwarder.routing.table.failed((opener.node.peer_id,), time.monotonic())
    assert forwarder.wellbeing.trust(opener.node.peer_id) < 0.5
    assert await ask(opener, forwarder, [end.node.peer_id]) == RouteStatus.BUSY


async def test_who_is_trusted_least_is_given_up_first(beams: Beams) -> None:
    one = await beams.beam(dht="off")
    good, bad = [await beams.beam(dht="off", to=one) for _ in range(2)]
    manager = one.node.swarm.manager
    for _ in range(5):
        one.abuse.bad_record(bad.node.peer_id, time.monotonic())
    await one.wellbeing.look()
    values = []
    for each in (bad, good):
        found = manager.info(each.node.peer_id)
        assert found is not None
        values.append(found.tags[TRUST_TAG])
    assert 0 < values[0] < values[1] <= 100
    manager._settings = Settings(low=1, high=1, grace_s=0.0)
    assert [each.peer for each in manager.trim(time.monotonic() + 1)] == [bad.node.peer_id]
    await bad.node.stop()
    await until(lambda: not one.node.swarm.is_connected(bad.node.peer_id))
    await until(lambda: manager.info(bad.node.peer_id) is None)
    await one.stop()
    left = manager.info(good.node.peer_id)
    assert left is None or TRUST_TAG not in left.tags


async def test_the_topics_are_joined_where_pubsub_is_on(beams: Beams) -> None:
    one = await beams.beam(gossip=True)
    two = await beams.beam(gossip=True)
    await join(one, two)
    assert {TRUST_TOPIC, HEALTH_TOPIC} <= set(one.gossip._topics)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"alert": AlertReport("peer-down", "low", PEERS[1], "x").document()},
        {"alert": AlertReport("gossip", "high", PEERS[1], "x").document()},
        {"alert": AlertReport("peer-down", "high", PEERS[1], "x" * 257).document()},
    ],
)
def test_alerts_that_are_none(body: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        sign_message(KEYS[0], ALERT, "1", 1, body)


def test_health_that_is_none() -> None:
    good = {"status": "healthy", "version": "1", "checks": [{"name": "cpu", "status": "healthy", "value": 3}]}
    made = sign_message(KEYS[0], HEALTH, "1", 1, good)
    assert open_message(made.envelope).health.document() == good | {  # type: ignore[union-attr]
        "checks": [{"name": "cpu", "status": "healthy", "value": 3.0}]
    }
    changes: list[dict[str, object]] = [
        {"status": "fine"},
        {"version": 1},
        {"checks": [{}]},
        {"checks": [{}] * 6},
    ]
    for change in changes:
        with pytest.raises(UsageError):
            sign_message(KEYS[0], HEALTH, "1", 1, good | change)
