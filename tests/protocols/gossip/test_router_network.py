"""Many routers joined in virtual time: delivery, healing, and the same life from the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mesh.codecs.gossip import Message
from mesh.protocols.gossip import (
    GossipSettings,
    MeshSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
    Verdict,
    Version,
)
from tests.protocols.gossip.network import TOPIC, Network

SIZE = 20
THRESHOLDS = Thresholds(gossip=-5.0, publish=-10.0, graylist=-20.0)
SCORES = ScoreSettings(
    topics={
        TOPIC: TopicScoreSettings(
            time_in_mesh_weight=0.01,
            first_deliveries_weight=1.0,
            first_deliveries_cap=50.0,
            invalid_weight=-5.0,
            invalid_decay=0.9,
        )
    },
    behaviour_weight=-1.0,
)


def grown(
    size: int = SIZE,
    seed: int = 1,
    version: Version = Version.V1_2,
    settings: RouterSettings | None = None,
    scores: ScoreSettings | None = None,
) -> Network:
    """All know each other and are in the topic; the meshes have formed."""
    network = Network(size, seed, settings, scores, version)
    network.connect_all()
    network.join()
    network.run(5.0)
    return network


def delivered(network: Network, node: int) -> Counter[bytes]:
    return Counter(data for _, data in network.nodes[node].delivered)


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize("flood", [False, True])
def test_every_message_reaches_every_node_once(version: Version, flood: bool) -> None:
    settings = RouterSettings(mesh=MeshSettings(flood_publish=flood))
    network = grown(version=version, settings=settings)
    for number in range(40):
        network.publish(number % SIZE, b"message %d" % number + bytes(number * 60))
        network.run(0.02)
    network.run(5.0)
    for node in range(SIZE):
        expected = {b"message %d" % each + bytes(each * 60): 1 for each in range(40) if each % SIZE != node}
        assert delivered(network, node) == expected


def test_meshes_are_mutual_and_within_bounds() -> None:
    network = grown()
    network.run(10.0)
    meshes = [set(node.router.mesh(TOPIC)) for node in network.nodes]
    for node, mesh in enumerate(meshes):
        assert 5 <= len(mesh) <= 12
        assert all(node in meshes[neighbour] for neighbour in mesh)


def test_copies_are_few() -> None:
    network = grown()
    for number in range(20):
        network.publish(number % SIZE, bytes([number]) * 200)
        network.run(0.5)
    copies = sum(node.router.counts["duplicates"] for node in network.nodes) / (20 * (SIZE - 1))
    assert copies < 8


def test_what_was_lost_comes_by_gossip() -> None:
    network = grown()
    lost: list[bytes] = []

    def loses(source: int, target: int, wire: bytes) -> bool:
        if target == 7 and network.now < 5.3:
            lost.append(wire)
            return True
        return False

    network.loses = loses
    network.publish(0, b"lost on all its links")
    network.run(0.2)
    assert lost
    assert delivered(network, 7) == {}
    network.run(4.0)
    assert delivered(network, 7) == {b"lost on all its links": 1}
    assert network.nodes[7].router.counts["asked"] > 0


def test_lossy_links_lose_nothing_in_the_end() -> None:
    network = grown()
    network.loses = lambda source, target, wire: (source * 7 + target * 3 + len(wire)) % 10 < 6
    for number in range(30):
        network.publish(number % SIZE, bytes(number))
        network.run(0.1)
    network.run(6.0)
    for node in range(SIZE):
        expected = {bytes(each): 1 for each in range(30) if each % SIZE != node}
        assert delivered(network, node) == expected


def test_partitions_heal() -> None:
    network = grown()
    half = SIZE // 2
    across = [(one, two) for one in range(half) for two in range(half, SIZE)]
    for one, two in across:
        network.disconnect(one, two)
    network.run(3.0)
    network.publish(0, b"in one half")
    network.publish(half, b"in the other")
    network.run(1.5)
    assert [sum(delivered(network, node).values()) for node in range(SIZE)] == [
        0 if node in (0, half) else 1 for node in range(SIZE)
    ]
    for one, two in across:
        network.connect(one, two)
    network.run(8.0)
    for node in range(SIZE):
        expected = {b"in one half", b"in the other"} - {b"in one half" if node == 0 else b""}
        expected -= {b"in the other"} if node == half else set()
        assert delivered(network, node) == dict.fromkeys(expected, 1)
    network.publish(3, b"to all again")
    network.run(1.0)
    assert all(delivered(network, node)[b"to all again"] == (node != 3) for node in range(SIZE))


def test_nodes_that_come_and_go() -> None:
    network = Network(12)
    network.connect_all()
    network.join(*range(6))
    network.run(3.0)
    network.publish(11, b"from outside")
    network.run(3.0)
    assert [len(node.delivered) for node in network.nodes] == [1] * 6 + [0] * 6
    network.join(*range(6, 12))
    network.nodes[0].router.leave(TOPIC, network.now)
    network.run(3.0)
    network.publish(2, b"later")
    network.run(3.0)
    assert [delivered(network, node)[b"later"] for node in range(12)] == [0, 1, 0] + [1] * 9


def life(seed: int) -> tuple[list[tuple[float, int, int, bytes]], list[object]]:
    """Everything that was sent, and every event, in a life with loss, churn, scores and long messages."""
    settings = replace(
        RouterSettings(), thresholds=THRESHOLDS, mesh=MeshSettings(d_high=8, exchanged_peers=4)
    )
    network = Network(12, seed, settings, SCORES)
    network.loses = lambda source, target, wire: (source + target + len(wire)) % 5 == 0
    network.connect_all()
    network.join()
    for number in range(60):
        network.publish(number % 12, bytes(number * 50))
        network.run(0.17)
        if number % 10 == 5:
            network.disconnect(number % 12, (number + 5) % 12)
        if number % 10 == 9:
            network.connect((number - 4) % 12, (number + 1) % 12)
    network.run(3.0)
    return network.trace, [event for node in network.nodes for event in node.router.events()]


def test_a_life_replays_from_its_seed() -> None:
    first, second = life(5), life(5)
    assert first == second
    assert len(first[0]) > 1000
    assert life(6)[0] != first[0]


class TestBadNodes:
    def test_who_passes_on_what_others_reject_is_pruned_and_ignored(self) -> None:
        settings = replace(RouterSettings(), thresholds=THRESHOLDS)
        network = grown(settings=settings, scores=SCORES)

        def verdict(node: int, message: Message) -> Verdict:
            bad = (message.data or b"").startswith(b"bad")
            return Verdict.REJECT if bad else Verdict.ACCEPT

        network.verdicts = verdict
        for number in range(20):
            network.publish(4, b"bad %d" % number)
            network.publish(5, b"good %d" % number)
            network.run(0.3)
        assert all(4 not in node.router.mesh(TOPIC) for node in network.nodes)
        assert sum(node.router.counts["graylisted"] for node in network.nodes) > 0
        for node in range(SIZE):
            if node not in (4, 5):
                assert delivered(network, node) == {b"good %d" % each: 1 for each in range(20)}

    def test_the_well_behaved_are_untouched(self) -> None:
        settings = replace(RouterSettings(), thresholds=THRESHOLDS)
        network = grown(settings=settings, scores=SCORES)
        for number in range(50):
            network.publish(number % SIZE, b"message %d" % number + bytes(number * 40))
            network.run(0.3)
        for node in network.nodes:
            assert node.router.counts["graylisted"] == 0
            assert node.router.counts["promises_broken"] == 0
            assert node.router.counts["backoff_violations"] == 0
            assert len(node.delivered) == 50 - node.published

    def test_announcing_and_not_giving_costs_the_score(self) -> None:
        settings = replace(RouterSettings(), thresholds=THRESHOLDS, gossip=GossipSettings(d_lazy=20))
        network = grown(8, settings=settings, scores=SCORES)
        liar = network.nodes[2].router
        gossip = [b"never %d" % number for number in range(5)]
        for peer in (0, 1):
            liar.queues[peer].ihave(TOPIC, gossip)
        liar.join("wake the queues", network.now)
        network.publish(2, b"one to send it all")
        network.run(6.0)
        assert [network.nodes[node].router.counts["promises_broken"] for node in (0, 1, 3)] == [1, 1, 0]
