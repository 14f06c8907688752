"""GRAFT and PRUNE as single peers send them (gossipsub v1.0 "Router behaviour", v1.1 "Prune backoff", catalogue 3.x)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.gossip import Control, ExchangedPeer, Graft, Prune, Rpc
from mesh.protocols.gossip import (
    MeshSettings,
    PeersOffered,
    Pruned,
    RouterSettings,
    ScoreSettings,
    Version,
)
from tests.protocols.gossip.network import TOPIC, Alone

EXCHANGING = RouterSettings(mesh=MeshSettings(peer_exchange=True))
LARGEST = 2**63 - 1
"""The largest backoff that the codec lets through."""


def record_of(peer: int) -> ExchangedPeer | None:
    return ExchangedPeer(f"peer {peer}".encode(), b"record")


def test_a_graft_is_accepted_in_silence_and_messages_follow() -> None:
    alone = Alone()
    for peer in (1, 2):
        alone.peer(peer)
    alone.graft(1)
    assert alone.router.mesh(TOPIC) == [1]
    said = alone.said()
    assert said[1].prunes == []


def test_a_graft_for_an_unknown_topic_gets_no_answer() -> None:
    alone = Alone()
    alone.peer(1)
    alone.said()
    alone.graft(1, "other")
    assert alone.said()[1].rpcs == []


def test_a_prune_for_an_unknown_topic_changes_nothing() -> None:
    alone = Alone()
    alone.peer(1)
    alone.graft(1)
    alone.prune(1, topic="other")
    assert alone.router.mesh(TOPIC) == [1]


def test_a_graft_in_the_backoff_is_answered_with_prune_and_the_backoff_again() -> None:
    alone = Alone()
    alone.peer(1)
    alone.graft(1)
    alone.prune(1)
    assert alone.router.mesh(TOPIC) == []
    alone.graft(1)
    assert alone.router.mesh(TOPIC) == []
    assert [(prune.topic, prune.backoff) for prune in alone.said()[1].prunes] == [(TOPIC, 60)]
    assert alone.router.counts["backoff_violations"] == 1


@pytest.mark.parametrize(("after", "times"), [(1.0, 2.0), (9.9, 2.0), (11.0, 1.0), (59.0, 1.0)])
def test_a_graft_in_the_backoff_is_misbehaviour_twice_when_soon(after: float, times: float) -> None:
    alone = Alone(scores=ScoreSettings(behaviour_weight=-1.0, behaviour_decay=0.999))
    alone.peer(1)
    alone.graft(1)
    alone.prune(1)
    alone.now = after
    alone.graft(1)
    assert alone.scores is not None
    parts = alone.scores.parts(1, alone.now)
    assert parts is not None
    assert parts.behaviour == times


def test_a_graft_after_the_backoff_is_accepted() -> None:
    alone = Alone()
    alone.peer(1)
    alone.graft(1)
    alone.prune(1, 5)
    alone.now = 5.0
    alone.graft(1)
    assert alone.router.mesh(TOPIC) == [1]


def test_the_backoff_a_peer_asks_for_is_kept_and_a_little_more() -> None:
    alone = Alone()
    alone.peer(1)
    alone.graft(1)
    alone.prune(1, 30)
    alone.said()
    alone.pass_time(30.5)
    assert alone.said()[1].grafts == []
    alone.pass_time(3.0)
    assert alone.said()[1].grafts == [TOPIC]


def test_without_a_backoff_the_own_one_counts() -> None:
    alone = Alone()
    alone.peer(1, Version.V1_0)
    alone.graft(1)
    alone.prune(1)
    alone.said()
    alone.pass_time(61.0)
    assert alone.said()[1].grafts == []
    alone.pass_time(4.0)
    assert alone.said()[1].grafts == [TOPIC]


def test_a_shorter_backoff_does_not_replace_a_longer() -> None:
    alone = Alone()
    alone.peer(1)
    alone.prune(1, 100)
    alone.prune(1, 1)
    alone.said()
    alone.pass_time(90.0)
    assert alone.said()[1].grafts == []


@pytest.mark.parametrize("backoff", [2**31, 2**53 + 1, LARGEST - 1, LARGEST])
def test_backoffs_beyond_all_clocks_do_no_harm(backoff: int) -> None:
    alone = Alone(topics=(TOPIC, "other"))
    for peer in range(1, 4):
        alone.peer(peer, topics=(TOPIC, "other"))
    alone.graft(1)
    alone.prune(1, backoff)
    alone.graft(1)
    alone.pass_time(5.0)
    assert 1 not in alone.router.mesh(TOPIC)
    assert set(alone.router.mesh("other")) == {1, 2, 3}
    alone.said()
    alone.pass_time(3600.0 + 5.0)
    assert 1 in alone.router.mesh(TOPIC)


def test_backoff_outlives_the_connection() -> None:
    alone = Alone()
    alone.peer(1)
    alone.prune(1)
    alone.router.disconnect(1, alone.now)
    alone.peer(1)
    alone.pass_time(10.0)
    assert alone.said()[1].grafts == []
    alone.graft(1)
    assert alone.router.mesh(TOPIC) == []


def test_the_number_of_backoffs_is_bounded() -> None:
    alone = Alone(RouterSettings(mesh=MeshSettings(max_backoffs=10)))
    for peer in range(1, 40):
        alone.peer(peer)
        alone.prune(peer, 1000)
    alone.pass_time(20.0)
    mesh = set(alone.router.mesh(TOPIC))
    assert mesh.isdisjoint(range(30, 40))
    assert len(mesh) == 6


def test_backoffs_that_are_over_are_forgotten() -> None:
    alone = Alone(topics=(TOPIC, "other"))
    for peer in range(1, 30):
        alone.peer(peer)
        alone.prune(peer, 30)
        alone.prune(peer, 10, topic="other")
    assert alone.router.sizes()["backoffs"] == 58
    alone.pass_time(31.0)
    assert alone.router.sizes()["backoffs"] == 29
    alone.pass_time(20.0)
    assert alone.router.sizes()["backoffs"] == 0


def test_a_full_mesh_lets_in_only_peers_that_this_node_dialled() -> None:
    alone = Alone()
    alone.peers(12, grafted=True)
    assert len(alone.router.mesh(TOPIC)) == 12
    alone.peer(20)
    alone.peer(21, outbound=True)
    alone.said()
    alone.graft(20)
    alone.graft(21)
    said = alone.said()
    assert [prune.backoff for prune in said[20].prunes] == [60]
    assert said[21].prunes == []
    assert 21 in alone.router.mesh(TOPIC)
    assert 20 not in alone.router.mesh(TOPIC)


def test_a_direct_peer_is_never_in_the_mesh() -> None:
    alone = Alone(direct=(1,))
    alone.peer(1)
    alone.graft(1)
    said = alone.said()
    assert [prune.topic for prune in said[1].prunes] == [TOPIC]
    alone.pass_time(5.0)
    assert alone.router.mesh(TOPIC) == []
    assert alone.said()[1].grafts == []


def test_a_peer_with_a_bad_score_is_refused_with_a_backoff() -> None:
    alone = Alone(scores=ScoreSettings())
    alone.peer(1)
    assert alone.scores is not None
    alone.scores.set_application(1, -1.0)
    alone.graft(1)
    assert alone.router.mesh(TOPIC) == []


def test_prunes_for_old_peers_have_no_backoff() -> None:
    alone = Alone()
    alone.peer(1, Version.V1_0)
    alone.graft(1)
    alone.router.leave(TOPIC, alone.now)
    assert [prune.backoff for prune in alone.said()[1].prunes] == [None]


def test_leaving_prunes_the_mesh_with_the_short_backoff() -> None:
    alone = Alone()
    alone.peers(3, grafted=True)
    alone.peer(9)
    alone.said()
    alone.router.leave(TOPIC, alone.now)
    said = alone.said()
    for peer in (1, 2, 3):
        assert [(prune.topic, prune.backoff) for prune in said[peer].prunes] == [(TOPIC, 10)]
        assert said[peer].subscriptions == [(TOPIC, False)]
    assert said[9].prunes == []
    assert said[9].subscriptions == [(TOPIC, False)]


def test_joining_again_at_once_does_not_graft_who_was_just_pruned() -> None:
    alone = Alone()
    alone.peers(3, grafted=True)
    alone.router.leave(TOPIC, alone.now)
    alone.said()
    alone.router.join(TOPIC, alone.now)
    alone.pass_time(9.0)
    assert all(said.grafts == [] for said in alone.said().values())
    alone.pass_time(5.0)
    assert all(said.grafts == [TOPIC] for said in alone.said().values())


def test_whoever_unsubscribes_or_goes_is_in_no_mesh() -> None:
    alone = Alone()
    alone.peers(2, grafted=True)
    alone.router.events()
    alone.router.disconnect(1, alone.now)
    alone.hear(2, Rpc.decode(bytes.fromhex("0a080800") + b"\x12\x04news"))
    assert alone.router.mesh(TOPIC) == []
    assert [event.peer for event in alone.router.events() if isinstance(event, Pruned)] == [1, 2]


def test_one_answer_for_many_grafts_of_a_topic() -> None:
    alone = Alone()
    alone.peer(1)
    alone.prune(1)
    alone.said()
    alone.control(1, Control(graft=[Graft(TOPIC)] * 50))
    assert len(alone.said()[1].prunes) == 1
    assert alone.router.counts["backoff_violations"] == 1


def test_a_graft_says_that_the_peer_is_in_the_topic() -> None:
    alone = Alone()
    alone.peer(1, topics=())
    alone.graft(1)
    assert alone.router.peers(TOPIC) == [1]
    assert alone.router.mesh(TOPIC) == [1]


class TestPeerExchange:
    def test_other_peers_are_named_when_enabled(self) -> None:
        alone = Alone(EXCHANGING, record_of=record_of)
        alone.peers(30)
        alone.graft(1)
        alone.router.leave(TOPIC, alone.now)
        (prune,) = alone.said()[1].prunes
        named = [peer.peer_id for peer in prune.peers]
        assert len(set(named)) == len(named) == 16
        assert b"peer 1" not in named
        assert {peer.signed_peer_record for peer in prune.peers} == {b"record"}

    def test_nobody_is_named_by_default(self) -> None:
        alone = Alone(record_of=record_of)
        alone.peers(3, grafted=True)
        alone.router.leave(TOPIC, alone.now)
        assert [prune.peers for said in alone.said().values() for prune in said.prunes] == [[]] * 3

    def test_nobody_is_named_to_who_breaks_the_backoff(self) -> None:
        alone = Alone(EXCHANGING, record_of=record_of)
        alone.peers(10)
        alone.prune(1)
        alone.graft(1)
        (prune,) = alone.said()[1].prunes
        assert prune.peers == []

    def test_nobody_is_named_to_peers_that_cannot_read_it(self) -> None:
        alone = Alone(EXCHANGING, record_of=record_of)
        alone.peers(3)
        alone.peer(9, Version.V1_0)
        alone.graft(9)
        alone.router.leave(TOPIC, alone.now)
        assert [prune.peers for prune in alone.said()[9].prunes] == [[]]

    def test_received_peers_are_offered_above_the_threshold_only(self) -> None:
        base = RouterSettings()
        settings = replace(base, thresholds=replace(base.thresholds, accept_exchange=5.0))
        alone = Alone(settings, ScoreSettings())
        assert alone.scores is not None
        for peer, score in ((1, 4.9), (2, 5.0)):
            alone.peer(peer)
            alone.graft(peer)
            alone.scores.set_application(peer, score)
        named = [ExchangedPeer(b"a", b"ra"), ExchangedPeer(b"b", b"")]
        for peer in (1, 2):
            alone.control(peer, Control(prune=[Prune(TOPIC, named, 60)]))
        offers = [event for event in alone.router.events() if isinstance(event, PeersOffered)]
        assert offers == [PeersOffered(2, TOPIC, [(b"a", b"ra"), (b"b", b"")])]
        assert alone.router.counts["exchanges_refused"] == 1

    def test_no_more_than_so_many_are_offered(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.graft(1)
        named = [ExchangedPeer(str(number).encode(), b"") for number in range(100)]
        alone.control(1, Control(prune=[Prune(TOPIC, named, 60)]))
        (offer,) = [event for event in alone.router.events() if isinstance(event, PeersOffered)]
        assert len(set(offer.peers)) == 16

    def test_only_of_who_was_in_the_mesh(self) -> None:
        alone = Alone()
        alone.peers(2)
        alone.graft(1)
        named = [ExchangedPeer(b"a", b"")]
        for peer in (1, 1, 2):
            alone.control(peer, Control(prune=[Prune(TOPIC, named, 60)] * 3))
        offers = [event for event in alone.router.events() if isinstance(event, PeersOffered)]
        assert [offer.source for offer in offers] == [1]
