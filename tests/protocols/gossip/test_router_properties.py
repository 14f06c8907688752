"""Whatever peers send, in whatever order: nothing is raised, and everything kept stays within its bounds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.gossip import (
    Control,
    ExchangedPeer,
    Extensions,
    Graft,
    IDontWant,
    IHave,
    IWant,
    Message,
    Prune,
    Rpc,
    Subscription,
)
from mesh.errors import DecodeError
from mesh.protocols.gossip import (
    GossipSettings,
    Limits,
    MeshSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
    Verdict,
    Version,
)
from tests.protocols.gossip.network import TOPIC, Alone

SETTINGS = RouterSettings(
    mesh=MeshSettings(max_backoffs=6, d=2, d_low=2, d_high=3, d_score=1, d_out=1, opportunistic_ticks=3),
    gossip=GossipSettings(max_promises=5, max_declined_bytes=60, max_ihave_length=6, max_ihave_messages=3),
    limits=Limits(
        topics_per_peer=3,
        topics=5,
        topic_bytes=60,
        queue_bytes=20_000,
        pending=4,
        seen_ids=40,
        cache_bytes=10_000,
    ),
    thresholds=Thresholds(gossip=-3.0, publish=-6.0, graylist=-9.0, opportunistic_graft=1.0),
)
SCORING = ScoreSettings(
    topics={TOPIC: TopicScoreSettings(first_deliveries_weight=1.0, invalid_weight=-1.0)},
    behaviour_weight=-1.0,
)

topics = st.sampled_from([TOPIC, "b", "c", "d", "e", "f", "g" * 50, "é", ""])
found_ids = st.binary(max_size=12) | st.builds(lambda number: b"peer 9" + bytes([number]), st.integers(0, 30))
id_lists = st.lists(found_ids, max_size=12)
backoffs = st.none() | st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 2**31, 2**63 - 2, 2**63 - 1])
exchanged = st.lists(st.builds(ExchangedPeer, st.binary(max_size=8), st.binary(max_size=8)), max_size=20)
messages = st.builds(
    lambda author, number, data, topic: Message(
        sender=b"peer %d" % author, data=data, seqno=bytes([number]), topic=topic
    ).encode(),
    st.integers(0, 9),
    st.integers(0, 30),
    st.sampled_from([b"", b"x", bytes(1024), bytes(3000)]),
    topics,
) | st.binary(max_size=30)
controls = st.builds(
    Control,
    st.lists(st.builds(IHave, topics, id_lists), max_size=3),
    st.lists(st.builds(IWant, id_lists), max_size=3),
    st.lists(st.builds(Graft, topics), max_size=4),
    st.lists(st.builds(Prune, topics, exchanged, backoffs), max_size=4),
    st.lists(st.builds(IDontWant, id_lists), max_size=3),
    st.none() | st.builds(Extensions, st.none() | st.booleans(), st.none() | st.booleans()),
)
rpcs = st.builds(
    Rpc,
    st.lists(st.builds(Subscription, st.booleans(), topics), max_size=6),
    st.lists(messages, max_size=4),
    st.none() | controls,
)
ends = st.sampled_from(["accept", "ignore", "reject", "forged", "dropped"])
steps = st.one_of(
    st.tuples(st.just("rpc"), st.integers(1, 6), rpcs, ends),
    st.tuples(st.just("time"), st.floats(0, 100) | st.just(1.0)),
    st.tuples(st.just("connect"), st.integers(1, 6), st.sampled_from(list(Version)), st.booleans()),
    st.tuples(st.just("disconnect"), st.integers(1, 6)),
    st.tuples(st.just("join"), topics),
    st.tuples(st.just("leave"), topics),
    st.tuples(st.just("publish"), topics, st.integers(0, 40)),
    st.tuples(st.just("said")),
)


def finish(alone: Alone, peer: int, rpc: Rpc, end: str) -> None:
    for incoming in alone.hear(peer, rpc):
        if end == "forged":
            alone.router.forged(incoming, alone.now)
        elif end == "dropped":
            alone.router.dropped(incoming, alone.now)
        elif alone.router.verified(incoming, alone.now):
            alone.router.settle(incoming, Verdict(end), alone.now)


def act(alone: Alone, step: tuple[object, ...]) -> None:
    router, now = alone.router, alone.now
    match step:
        case "rpc", int(peer), Rpc() as rpc, str(end):
            finish(alone, peer, rpc, end)
        case "time", float(seconds):
            alone.pass_time(seconds)
        case "connect", int(peer), Version() as version, bool(outbound):
            if peer not in router.queues:
                router.connect(peer, version, outbound, now)
        case "disconnect", int(peer):
            router.disconnect(peer, now)
        case "join", str(topic):
            router.join(topic, now)
        case "leave", str(topic):
            router.leave(topic, now)
        case "publish", str(topic), int(number):
            wire = Message(sender=b"peer 0", seqno=bytes([number]), topic=topic).encode()
            router.publish(topic, b"peer 0" + bytes([number]), wire, now)
        case ("said",):
            alone.said()


def check(alone: Alone) -> None:
    """The bounds of what is kept, and the views agreeing with each other."""
    router, limits, gossip = alone.router, SETTINGS.limits, SETTINGS.gossip
    sizes, peers = router.sizes(), len(router.queues)
    assert sizes["topics"] <= limits.topics + len(router.topics())
    assert sizes["subscriptions"] <= limits.topics_per_peer * peers
    assert sizes["backoffs"] <= SETTINGS.mesh.max_backoffs
    assert sizes["seen"] <= limits.seen_ids
    assert sizes["pending"] == 0
    assert sizes["cached_bytes"] <= limits.cache_bytes
    assert sizes["promises"] <= gossip.max_promises
    assert sizes["declined_bytes"] <= gossip.max_declined_bytes * peers
    for topic in router.topics():
        mesh, members = router.mesh(topic), router.peers(topic)
        assert len(mesh) == len(set(mesh))
        assert len(members) == len(set(members))
        assert set(mesh) <= set(members) <= set(router.queues)
        assert 5 not in mesh


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40), st.booleans(), st.integers(0, 3))
def test_nothing_a_peer_sends_breaks_anything(
    life: list[tuple[object, ...]], scored: bool, seed: int
) -> None:
    base = replace(SETTINGS, mesh=replace(SETTINGS.mesh, peer_exchange=True))
    alone = Alone(
        base,
        SCORING if scored else None,
        direct=(5,),
        record_of=lambda peer: ExchangedPeer(b"peer %d" % peer, b""),
        seed=seed,
    )
    for peer in (1, 2, 5):
        alone.peer(peer)
    for step in life:
        act(alone, step)
        check(alone)
    alone.said()
    alone.pass_time(10.0)
    check(alone)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_bytes_of_any_kind(blobs: list[bytes]) -> None:
    alone = Alone()
    alone.peer(1)
    for blob in blobs:
        try:
            rpc = Rpc.decode(blob)
        except DecodeError:
            rpc = Rpc(publish=[blob])
        finish(alone, 1, rpc, "accept")
    alone.beat()
    alone.said()
