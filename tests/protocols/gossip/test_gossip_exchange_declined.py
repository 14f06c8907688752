"""IDONTWANT, said and heeded (gossipsub v1.2, catalogue 3.12 and 3.13)."""

from __future__ import annotations

import pytest

from mesh.codecs.gossip import Control, IDontWant
from mesh.protocols.gossip import GossipSettings, RouterSettings, Version
from tests.protocols.gossip.network import TOPIC, Alone, message


def meshed(version: Version = Version.V1_2) -> Alone:
    alone = Alone()
    alone.peers(5, version, outbound=True, grafted=True)
    alone.said()
    return alone


@pytest.mark.parametrize(("size", "said_by"), [(1023, set()), (1024, {2, 3, 4, 5}), (5000, {2, 3, 4, 5})])
def test_said_of_long_messages_to_the_mesh_but_their_source(size: int, said_by: set[int]) -> None:
    alone = meshed()
    alone.peer(9)
    alone.said()
    id, wire = message(20, 1, bytes(size))
    (incoming,) = alone.bring(1, wire)
    assert alone.router.verified(incoming, alone.now)
    said = alone.said()
    assert {peer for peer in said if said[peer].declined == [id]} == said_by
    assert not said[1].declined
    assert not said[9].declined


def test_said_before_the_message_is_passed_on() -> None:
    alone = meshed()
    id, wire = message(20, 1, bytes(2000))
    (incoming,) = alone.bring(1, wire)
    alone.router.verified(incoming, alone.now)
    said = alone.said()
    assert said[2].declined == [id]
    assert said[2].wires == []


def test_not_said_of_what_may_be_forged() -> None:
    alone = meshed()
    (incoming,) = alone.bring(1, message(20, 1, bytes(2000))[1])
    assert all(not said.declined for said in alone.said().values())
    alone.router.forged(incoming, alone.now)
    assert all(not said.declined for said in alone.said().values())


def test_not_said_to_older_peers() -> None:
    alone = meshed(Version.V1_1)
    alone.accept(1, message(20, 1, bytes(2000))[1])
    assert all(not said.declined for said in alone.said().values())


def test_never_said_when_turned_off() -> None:
    alone = Alone(RouterSettings(gossip=GossipSettings(idontwant_bytes=0)))
    alone.peers(5, grafted=True)
    alone.said()
    alone.accept(1, message(20, 1, bytes(2000))[1])
    assert all(not said.declined for said in alone.said().values())


def test_heeded_when_a_message_is_passed_on_or_published_or_asked_for() -> None:
    alone = meshed()
    passed, wire = message(20, 1)
    own, own_wire = message(0, 1)
    alone.refuse(2, [passed, own])
    assert alone.accept(1, wire) == 3
    assert alone.router.publish(TOPIC, own, own_wire, alone.now) == 4
    alone.ask(2, [passed, own])
    said = alone.said()
    assert said[2].wires == []
    assert said[3].wires == [wire, own_wire]


def test_heeded_for_three_beats() -> None:
    alone = meshed()
    alone.pass_time(0.2)
    for beats, copies in ((0, 3), (2, 3), (1, 4)):
        alone.pass_time(beats)
        if not beats:
            alone.refuse(2, [message(20, number)[0] for number in (0, 2, 1)])
        assert alone.accept(1, message(20, beats)[1]) == copies


def test_the_first_ten_ids_of_an_rpc() -> None:
    alone = meshed()
    made = [message(20, number) for number in range(14)]
    found = [id for id, _ in made]
    alone.control(2, Control(idontwant=[IDontWant(found[:6]), IDontWant(found[6:])]))
    assert [alone.accept(1, wire) for _, wire in made] == [3] * 10 + [4] * 4


def test_a_thousand_rpcs_in_a_beat() -> None:
    alone = meshed()
    alone.beat()
    for number in range(1000):
        alone.refuse(2, [b"other%d" % number])
    id, wire = message(20, 1)
    alone.refuse(2, [id])
    assert alone.router.counts["refusals_over_limit"] == 1
    assert alone.accept(1, wire) == 4
    alone.beat()
    later, wire = message(20, 2)
    alone.refuse(2, [later])
    assert alone.accept(1, wire) == 3


def test_ids_remembered_are_bounded_in_bytes() -> None:
    alone = Alone(RouterSettings(gossip=GossipSettings(max_declined_bytes=930)))
    alone.peers(2, grafted=True)
    first, wire = message(20, 1)
    later, later_wire = message(20, 2)
    alone.refuse(2, [first])
    for number in range(20):
        alone.refuse(2, [bytes(90) + bytes([number])])
    alone.refuse(2, [later])
    assert alone.accept(1, wire) == 0
    assert alone.accept(1, later_wire) == 1
    alone.pass_time(5.0)
    again, again_wire = message(20, 3)
    alone.refuse(2, [again])
    assert alone.accept(1, again_wire) == 0
