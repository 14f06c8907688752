"""Peers that misbehave lose their score, their place in the mesh, and the ear of the node."""

from __future__ import annotations

from mesh.codecs.gossip import Graft, IDontWant, IHave, IWant, Prune, Rpc, Subscription
from mesh.services.gossip import ScoreSettings, Thresholds, TopicScoreSettings
from tests.hostile import raw_pubsub
from tests.hostile.raw_pubsub import TOPIC, PubsubTarget, RawPeer, set_patience, target_with
from tests.network.live import eventually

victim = raw_pubsub.victim
GRAYLIST = -50.0
SCORES = ScoreSettings(
    topics={TOPIC: TopicScoreSettings(invalid_weight=-1.0, invalid_decay=0.9999)},
    behaviour_weight=-1.0,
    behaviour_decay=0.9999,
    decay_interval_s=60.0,
)
THRESHOLDS = Thresholds(gossip=-10.0, publish=-20.0, graylist=GRAYLIST)
scored = target_with(SCORES, THRESHOLDS)


async def shut_out(victim: PubsubTarget, peer: RawPeer) -> None:
    """It is below the graylist, out of the mesh, and what it says is not looked at; the bystander is as before."""
    node = victim.node
    await eventually(lambda: victim.score(peer) < GRAYLIST, "a score below the graylist")
    await eventually(lambda: peer.id not in node.pubsub.mesh(TOPIC), "its end in the mesh")
    before = victim.count("graylisted")
    await peer.publish(peer.wire(b"not heard"))
    await eventually(lambda: victim.count("graylisted") > before, "its RPC left aside")
    assert not len(victim.reader)
    score = node.pubsub.scores()[victim.bystander.peer_id].score
    assert score >= 0
    assert victim.bystander.peer_id in node.pubsub.mesh(TOPIC)


@scored
async def test_forgers(victim: PubsubTarget) -> None:
    """P4, squared."""
    peer = await victim.attacker()
    await peer.graft(victim.node)
    for _ in range(8):
        wire = peer.wire(b"bad")
        await peer.publish(wire[:-1] + bytes([wire[-1] ^ 1]))
    await shut_out(victim, peer)
    assert (TOPIC, 60) in peer.prunes()


@scored
async def test_grafts_in_the_backoff(victim: PubsubTarget) -> None:
    """P7, twice each time so soon after the PRUNE; who was pruned stays out."""
    peer = await victim.attacker()
    await peer.graft(victim.node)
    await peer.control(prune=[Prune(TOPIC, backoff=60)])
    for _ in range(8):
        await peer.control(graft=[Graft(TOPIC)])
    await shut_out(victim, peer)
    assert victim.count("backoff_violations") >= 4


@target_with(SCORES, THRESHOLDS, heartbeat_s=0.05)
async def test_broken_promises(victim: PubsubTarget) -> None:
    """P7 for messages said to be there, asked for, and never sent."""
    set_patience(victim.node)
    peer = await victim.attacker()
    await peer.graft(victim.node)
    ids = [b"promise %d" % number for number in range(10)]
    for id in ids:
        await peer.control(ihave=[IHave(TOPIC, [id])])
    await eventually(lambda: set(ids) <= set(peer.asked_for()), "IWANT for all")
    await eventually(lambda: victim.count("promises_broken") == 10, "the end of patience")
    await shut_out(victim, peer)


@scored
async def test_floods_of_grafts_for_topics_that_are_not_there(victim: PubsubTarget) -> None:
    """Not answered, and nothing is kept of them."""
    peer = await victim.attacker()
    for start in range(0, 20_000, 1000):
        grafts = [Graft(f"nowhere {number}") for number in range(start, start + 1000)]
        await peer.control(graft=grafts, prune=[Prune(each.topic) for each in grafts])
    await peer.heard()
    assert peer.prunes() == []
    sizes = victim.node.pubsub._running().router.sizes()
    assert (sizes["topics"], sizes["backoffs"]) == (1, 0)


async def test_floods_of_subscriptions(victim: PubsubTarget) -> None:
    peer = await victim.attacker()
    for start in range(0, 10_000, 1000):
        await peer.send(
            Rpc(
                subscriptions=[Subscription(True, f"topic {number}") for number in range(start, start + 1000)]
            )
        )
    await peer.heard()
    sizes = victim.node.pubsub._running().router.sizes()
    assert sizes["subscriptions"] <= 4096 + 1
    await peer.node.stop()
    await eventually(
        lambda: victim.node.pubsub._running().router.sizes()["subscriptions"] == 1, "all of them forgotten"
    )


async def test_floods_of_gossip(victim: PubsubTarget) -> None:
    """IHAVE, IWANT and IDONTWANT by the thousand: answered within bounds, and others are served."""
    peer = await victim.attacker()
    ids = [number.to_bytes(32, "big") for number in range(15_000)]
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        await peer.control(ihave=[IHave(TOPIC, some)], iwant=[IWant(some)], idontwant=[IDontWant(some)] * 3)
    await victim.serves_others()
    sizes = victim.node.pubsub._running().router.sizes()
    assert sizes["promises"] <= 8192
    assert sizes["declined_bytes"] <= 512 * 1024
    assert peer.wires() == [] or len(peer.wires()) < 10


async def test_floods_of_spam_that_is_not_read_back(victim: PubsubTarget) -> None:
    """A peer in the mesh that writes 20 MiB of copies and garbage and reads nothing: bounded, and others are served."""
    peer = await victim.attacker()
    await peer.graft(victim.node)
    peer.reads.clear()
    wire = peer.wire(bytes(100_000))
    for _ in range(20):
        await peer.publish(*[wire] * 10)
        await peer.publish(*[b"\xff" * 1000] * 1000)
    await victim.serves_others()
    assert victim.node.swarm.memory.used_bytes <= victim.node.config.yamux.max_held_bytes
    assert victim.count("duplicates") + victim.count("malformed") > 0
    peer.reads.set()


async def test_floods_of_streams(victim: PubsubTarget) -> None:
    """Each takes the place of the one before; only one is read."""
    peer = await victim.attacker()
    for _ in range(8):
        for _ in range(20):
            await peer.open(victim.node)
        await peer.heard()
    assert victim.node.counters["gossip.stream_replaced"] >= 100
    connection = victim.node.swarm.connection_to(peer.id)
    assert connection is not None
    await eventually(lambda: connection.stream_count <= 2, "the end of the older ones")
