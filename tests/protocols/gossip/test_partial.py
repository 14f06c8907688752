"""Messages that travel in parts, and the test extension (GossipSub 1.3, as go-libp2p-pubsub v0.17 sends them)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from mesh.codecs.gossip import Control, Extensions, Partial, Rpc, Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip import (
    GossipSettings,
    Part,
    PartReceived,
    PartSupport,
    PartsWanted,
    RouterSettings,
    TestExtended,
    Version,
)
from mesh.protocols.gossip.partial import GROUP_BEATS, GROUPS_PER_PEER, GROUPS_PER_TOPIC
from tests.protocols.gossip.network import TOPIC, Alone, message

PARTED = Extensions(partial_messages=True)
GROUP = b"block 7"


def parted(support: PartSupport = PartSupport.WANTS, settings: RouterSettings | None = None) -> Alone:
    """A router that is in the topic with parts."""
    alone = Alone(settings, extensions=PARTED, topics=())
    alone.router.join(TOPIC, 0.0, support)
    return alone


def newcomer(
    alone: Alone,
    peer: int,
    wants: bool = True,
    sends: bool = True,
    extensions: Extensions | None = PARTED,
    graft: bool = True,
) -> int:
    """A peer of 1.3 that says in its first RPC what it has."""
    alone.router.connect(peer, Version.V1_3, False, alone.now)
    subscription = Subscription(True, TOPIC, wants, sends)
    control = None if extensions is None else Control(extensions=extensions)
    alone.hear(peer, Rpc(subscriptions=[subscription], control=control))
    if graft:
        alone.graft(peer)
    return peer


def partial(group: bytes = GROUP, data: bytes = b"parts", metadata: bytes = b"", topic: str = TOPIC) -> Rpc:
    return Rpc(partial=Partial(topic, group, data or None, metadata or None))


def to_all(part: Part) -> Callable[[dict[int, Any], Callable[[int], bool]], Iterable[tuple[int, Part]]]:
    return lambda states, _wants: [(peer, part) for peer in states]


def parts_said(alone: Alone) -> dict[int, list[Partial]]:
    said = alone.said()
    return {peer: [rpc.partial for rpc in each.rpcs if rpc.partial] for peer, each in said.items()}


def received(alone: Alone) -> list[PartReceived[int]]:
    return [each for each in alone.router.events() if isinstance(each, PartReceived)]


@pytest.mark.parametrize(
    ("support", "asks"), [(PartSupport.WANTS, True), (PartSupport.SENDS, False)], ids=["wants", "sends"]
)
def test_the_first_rpc_says_what_is_done_with_parts(support: PartSupport, asks: bool) -> None:
    alone = parted(support)
    alone.router.connect(1, Version.V1_3, True, 0.0)
    (first,) = alone.said()[1].rpcs
    assert first.subscriptions == [Subscription(True, TOPIC, asks, True)]
    assert first.control == Control(extensions=PARTED)


def test_parts_need_the_extension() -> None:
    alone = Alone(topics=())
    with pytest.raises(UsageError, match="before pubsub starts"):
        alone.router.join(TOPIC, 0.0, PartSupport.WANTS)
    assert alone.router.topics() == []
    alone.router.join(TOPIC, 0.0)
    with pytest.raises(UsageError, match="not joined for partial"):
        alone.router.partials.publish(TOPIC, GROUP, to_all(Part(b"x")))


def test_parts_go_to_who_asked_and_metadata_to_all_that_speak_it() -> None:
    alone = parted()
    newcomer(alone, 1)
    newcomer(alone, 2, wants=False)
    newcomer(alone, 3, extensions=None)
    alone.said()
    part = Part(b"parts", b"have 1, want 2")
    assert alone.router.partials.publish(TOPIC, GROUP, to_all(part)) == 2
    said = parts_said(alone)
    assert said[1] == [Partial(TOPIC, GROUP, b"parts", b"have 1, want 2")]
    assert said[2] == [Partial(TOPIC, GROUP, None, b"have 1, want 2")]
    assert said[3] == []
    assert alone.router.partials.publish(TOPIC, GROUP, to_all(Part(b"parts"))) == 1
    assert alone.router.counts["parts_sent"] == 3


def test_what_is_noted_of_peers_stays_with_the_group() -> None:
    alone = parted()
    newcomer(alone, 1)
    newcomer(alone, 2, graft=False)
    seen: list[dict[int, Any]] = []

    def choose(states: dict[int, Any], wants: Callable[[int], bool]) -> Iterable[tuple[int, Part]]:
        seen.append(dict(states))
        states[2] = "told"
        assert wants(1)
        assert not wants(9)
        return [(2, Part(b"x")), (9, Part(b"x"))]

    assert alone.router.partials.publish(TOPIC, GROUP, choose) == 1
    assert alone.router.partials.publish(TOPIC, GROUP, choose) == 1
    assert seen == [{1: None}, {1: None, 2: "told"}]
    assert alone.router.partials.states(TOPIC, GROUP) == {1: None, 2: "told"}
    alone.router.disconnect(2, 0.0)
    assert alone.router.partials.states(TOPIC, GROUP) == {1: None}
    assert alone.router.partials.states(TOPIC, b"other") is None


def test_rpcs_carry_one_part_each_and_take_turns_with_messages() -> None:
    alone = parted(PartSupport.SENDS)
    newcomer(alone, 1, wants=False)
    alone.said()
    for number in range(3):
        alone.router.partials.publish(TOPIC, bytes([number]), to_all(Part(metadata=b"m")))
    id, wire = message(0, 1)
    assert alone.router.publish(TOPIC, id, wire, 0.0) == 1
    rpcs = alone.said()[1].rpcs
    assert [rpc.partial is not None for rpc in rpcs] == [True, False, True, True]
    assert [rpc.partial.group for rpc in rpcs if rpc.partial] == [b"\x00", b"\x01", b"\x02"]
    assert rpcs[1].publish == [wire]


def test_who_asked_for_parts_gets_no_whole_messages() -> None:
    alone = parted(PartSupport.SENDS)
    newcomer(alone, 1)
    newcomer(alone, 2, wants=False)
    newcomer(alone, 3, extensions=None)
    newcomer(alone, 4, wants=False, sends=False)
    alone.said()
    id, wire = message(0, 1)
    assert alone.router.publish(TOPIC, id, wire, 0.0) == 3
    other_id, other = message(4, 1)
    assert alone.accept(4, other) == 2
    assert {peer: each.wires for peer, each in alone.said().items()} == {
        1: [],
        2: [wire, other],
        3: [wire, other],
        4: [wire],
    }
    assert id != other_id


def test_who_sends_parts_is_not_told_to_spare_whole_messages() -> None:
    alone = parted(settings=RouterSettings(gossip=GossipSettings(idontwant_bytes=10)))
    newcomer(alone, 1, wants=False)
    newcomer(alone, 2, wants=False, sends=False)
    alone.peer(3)
    alone.said()
    id, wire = message(3, 1, bytes(20))
    alone.accept(3, wire)
    assert {peer: each.declined for peer, each in alone.said().items()} == {1: [], 2: [id], 3: []}


def test_gossip_names_who_asked_for_parts_to_the_program() -> None:
    alone = parted(PartSupport.SENDS)
    newcomer(alone, 1, graft=False)
    newcomer(alone, 2, wants=False, graft=False)
    alone.router.partials.publish(TOPIC, GROUP, to_all(Part()))
    id, wire = message(0, 1)
    alone.router.publish(TOPIC, id, wire, 0.0)
    for peer in (1, 2):
        alone.prune(peer)
    alone.router.events()
    alone.said()
    alone.beat()
    wanted = [each for each in alone.router.events() if isinstance(each, PartsWanted)]
    said = alone.said()
    assert said[1].told == []
    assert id in said[2].told
    assert wanted == [PartsWanted(TOPIC, GROUP, [1])]
    alone.beat()
    assert not any(isinstance(each, PartsWanted) for each in alone.router.events())


def test_what_comes_in() -> None:
    alone = parted()
    newcomer(alone, 1)
    alone.hear(1, partial(metadata=b"has 1"))
    alone.hear(1, partial(data=b""))
    assert received(alone) == [
        PartReceived(1, TOPIC, GROUP, Part(b"parts", b"has 1")),
        PartReceived(1, TOPIC, GROUP, Part()),
    ]


def test_what_is_not_heeded() -> None:
    alone = parted()
    newcomer(alone, 1, extensions=None)
    newcomer(alone, 2)
    alone.hear(1, partial())
    alone.hear(2, partial(topic="elsewhere"))
    assert received(alone) == []
    assert alone.router.counts["parts_unjoined"] == 1
    silent = Alone()
    newcomer(silent, 1)
    silent.hear(1, partial())
    silent.hear(1, Rpc(test_extension=b""))
    assert silent.router.events()[-1:] != [TestExtended(1)]
    assert len(silent.router.partials) == 0


def test_peers_begin_so_many_groups_and_no_more() -> None:
    alone = parted()
    peers = [newcomer(alone, number) for number in range(1, 40)]
    for peer in peers:
        for number in range(GROUPS_PER_PEER + 1):
            alone.hear(peer, partial(b"%d of %d" % (number, peer)))
    assert len(received(alone)) == len(alone.router.partials) == GROUPS_PER_TOPIC
    assert alone.router.counts["parts_over_limit"] == len(peers) * (GROUPS_PER_PEER + 1) - GROUPS_PER_TOPIC
    alone.hear(1, partial(b"0 of 1"))
    assert len(received(alone)) == 1


def test_a_group_that_this_node_publishes_in_is_its_own() -> None:
    alone = parted()
    newcomer(alone, 1)
    for number in range(GROUPS_PER_PEER):
        alone.hear(1, partial(bytes([number])))
    alone.router.partials.publish(TOPIC, b"\x00", to_all(Part()))
    alone.hear(1, partial(b"another"))
    assert len(received(alone)) == GROUPS_PER_PEER + 1
    alone.hear(1, partial(b"one too many"))
    assert received(alone) == []


def test_groups_age() -> None:
    alone = parted()
    newcomer(alone, 1)
    alone.router.partials.publish(TOPIC, GROUP, to_all(Part()))
    alone.hear(1, partial(b"of a peer, and nothing noted"))
    assert len(alone.router.partials) == 2
    alone.beat()
    assert len(alone.router.partials) == 1
    for _ in range(GROUP_BEATS + 1):
        alone.beat()
    assert len(alone.router.partials) == 0
    for number in range(GROUPS_PER_PEER):
        alone.hear(1, partial(bytes([number])))
    assert alone.router.counts["parts_over_limit"] == 0


def test_leaving_forgets_groups() -> None:
    alone = parted()
    newcomer(alone, 1)
    alone.hear(1, partial())
    alone.router.leave(TOPIC, 0.0)
    assert len(alone.router.partials) == 0
    alone.router.join(TOPIC, 0.0)
    assert alone.said()[1].rpcs[-1].subscriptions == [Subscription(True, TOPIC)]


def test_a_full_queue_drops_parts() -> None:
    alone = parted()
    newcomer(alone, 1)
    alone.said()
    sent = sum(alone.router.partials.publish(TOPIC, GROUP, to_all(Part(bytes(1 << 16)))) for _ in range(2000))
    queue = alone.router.queues[1]
    assert 0 < sent < 2000
    assert queue.dropped["alone"] == alone.router.counts["dropped_full"] == 2000 - sent
    assert len(parts_said(alone)[1]) == sent
    assert queue.waiting_bytes == 0


@pytest.mark.parametrize("theirs", [True, False])
def test_the_test_extension(theirs: bool) -> None:
    alone = Alone(extensions=Extensions(test_extension=True))
    newcomer(alone, 1, extensions=Extensions(test_extension=theirs))
    assert [rpc.test_extension for rpc in alone.said()[1].rpcs] == ([None, b""] if theirs else [None])
    alone.hear(1, Rpc(test_extension=b""))
    assert (TestExtended(1) in alone.router.events()) is theirs
