"""Parts of the simulation of GossipSub: RPCs and their bytes, streams, tallies, parameters."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.gossip import Control, Graft, IHave, IWant, Message, Prune, Rpc, Subscription
from mesh.codecs.wire import encode_varint
from mesh.errors import UsageError
from mesh.protocols.gossip import Scores, default_id
from mesh.simulation.gossip_network import GossipNetwork
from mesh.simulation.gossip_packets import (
    CACHED_BYTES,
    Packet,
    Packets,
    Sort,
    author_of,
    id_of,
    message,
    number_of,
    sort_of,
)
from mesh.simulation.gossip_parameters import ATTACKS, TOPIC, Attack, GossipParameters
from mesh.simulation.gossip_streams import Streams
from mesh.simulation.gossip_tally import MAX_HOPS, Tally
from mesh.simulation.links import Latency
from mesh.simulation.world import World

IDS = [id_of(1, number) for number in range(3)]
WIRE = message(3, 9, 200)[1]
SUBSCRIPTION = Subscription(True, TOPIC)


def framed(rpc: Rpc) -> bytes:
    encoded = rpc.encode()
    return encode_varint(len(encoded)) + encoded


class Listener:
    """Takes down what it hears."""

    def __init__(self, number: int, world: World) -> None:
        self.number = number
        self.up = True
        self.delays_ms: dict[int, int] = {}
        self.heard: list[tuple[int, int, Rpc]] = []
        self._world = world

    def connected(self, peer: int, outbound: bool, delay_ms: int) -> None: ...

    def disconnected(self, peer: int) -> None: ...

    def receive(self, source: int, rpc: Rpc) -> None:
        self.heard.append((self._world.now_ms, source, rpc))


def test_messages_say_who_wrote_them() -> None:
    id, wire = message(70_000, 5, 10, Sort.FORGED)
    decoded = Message.decode(wire)
    assert default_id(decoded) == id == id_of(70_000, 5)
    assert (author_of(decoded), number_of(decoded), sort_of(decoded)) == (70_000, 5, Sort.FORGED)
    assert len(decoded.data or b"") == 10
    assert len(id) == 46
    assert author_of(Message(topic=TOPIC)) is None


@pytest.mark.parametrize(
    ("rpc", "kinds"),
    [
        (Rpc(publish=[WIRE, WIRE]), {"payload"}),
        (Rpc(control=Control(ihave=[IHave(TOPIC, IDS)])), {"gossip"}),
        (Rpc(control=Control(iwant=[IWant(IDS)])), {"gossip"}),
        (Rpc(control=Control(graft=[Graft(TOPIC)])), {"control"}),
        (Rpc(subscriptions=[SUBSCRIPTION]), {"control"}),
        (Rpc(publish=[WIRE], control=Control(ihave=[IHave(TOPIC, IDS)])), {"payload", "gossip"}),
        (
            Rpc(
                publish=[WIRE],
                subscriptions=[SUBSCRIPTION],
                control=Control(ihave=[IHave(TOPIC, IDS)], prune=[Prune(TOPIC, [], 60)]),
            ),
            {"payload", "gossip", "control"},
        ),
    ],
)
def test_bytes_by_kind(rpc: Rpc, kinds: set[str]) -> None:
    packet = Packet(framed(rpc))
    sizes = {"payload": packet.payload, "gossip": packet.gossip, "control": packet.control}
    assert {name for name, size in sizes.items() if size} == kinds
    assert sum(sizes.values()) == len(framed(rpc))
    if "payload" in kinds:
        assert len(rpc.publish) * len(WIRE) <= sizes["payload"] <= len(rpc.publish) * (len(WIRE) + 6)


def test_what_is_left_of_a_lost_rpc() -> None:
    control = Control(ihave=[IHave(TOPIC, IDS)], graft=[Graft(TOPIC)])
    kept = Packet(framed(Rpc(publish=[WIRE], subscriptions=[SUBSCRIPTION], control=control))).kept
    assert kept == Rpc(subscriptions=[SUBSCRIPTION], control=Control(graft=[Graft(TOPIC)]))
    assert Packet(framed(Rpc(publish=[WIRE]))).kept == Rpc()


def test_equal_bytes_are_decoded_once() -> None:
    packets = Packets()
    frame = framed(Rpc(publish=[WIRE]))
    assert packets.of(frame) is packets.of(bytes(bytearray(frame)))
    assert packets.of(frame).rpc.publish == [WIRE]
    long = framed(Rpc(publish=[message(1, 1, CACHED_BYTES)[1]]))
    assert packets.of(long) is not packets.of(long)


def streams(loss: float = 0.0) -> tuple[World, Streams]:
    world = World(1)
    return world, Streams(world, Latency(100, 0.4, 1), loss)


def test_a_stream_stays_in_order_and_a_pair_has_one_delay() -> None:
    world, between = streams()
    listener = Listener(7, world)
    delay_ms = between.delay_ms(3, 7)
    assert delay_ms == between.delay_ms(7, 3)
    sent = [Packet(framed(Rpc(publish=[message(3, number, 8)[1]]))) for number in range(20)]
    for packet in sent:
        between.send(3, listener, delay_ms, packet)
    world.run(1000)
    assert listener.heard == [(delay_ms, 3, packet.rpc) for packet in sent]
    assert between.sent == 20
    assert between.payload == sum(packet.payload for packet in sent)
    between.count_anew()
    assert (between.sent, between.payload) == (0, 0)


def test_loss_takes_messages_but_not_grafts() -> None:
    world, between = streams(loss=0.5)
    listener = Listener(7, world)
    packet = Packet(framed(Rpc(publish=[WIRE], control=Control(graft=[Graft(TOPIC)]))))
    for _ in range(400):
        between.send(3, listener, 10, packet)
    world.run(10)
    whole = sum(1 for _, _, rpc in listener.heard if rpc.publish)
    assert len(listener.heard) == 400
    assert 140 < whole < 260
    assert between.lost == 400 - whole
    assert all(rpc.control is not None and rpc.control.graft for _, _, rpc in listener.heard)


def test_a_partition_stops_everything() -> None:
    world, between = streams()
    near, far = Listener(1, world), Listener(2, world)
    between.side = bytes([0, 0, 1])
    packet = Packet(framed(Rpc(publish=[WIRE])))
    for listener in (near, far):
        between.send(0, listener, 5, packet)
        between.send_uncounted(0, listener, 5, packet)
    world.run(10)
    assert (len(near.heard), len(far.heard), between.cut) == (2, 0, 1)
    assert between.parted(0, 2)
    assert not between.parted(0, 1)


def test_hops_are_counted_from_the_author() -> None:
    tally = Tally(5)
    audience = bytes([1, 1, 1, 0, 1])
    number = tally.published(2, 100, audience)
    tally.arrived(number, 0, 2, 130)
    tally.arrived(number, 1, 0, 190)
    tally.arrived(number, 3, 1, 250)
    course = tally.courses[number]
    assert [hops - 1 for hops in course.hops] == [1, 2, 0, 3, -1]
    assert list(course.after_ms)[:2] == [30, 90]
    assert tally.reached(course, range(5)) == (2, 3), "the author and who is not meant do not count"
    for _ in range(300):
        tally.arrived(number, 4, 4, 300)
    assert course.hops[4] == MAX_HOPS + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"peers": 7},
        {"seeds": 0},
        {"seconds": 0.5},
        {"rate": 0.0},
        {"rate": 2000.0},
        {"rate": float("nan")},
        {"size": 0},
        {"loss": 0.6},
        {"churn": -0.1},
        {"spread": 2.0},
        {"least": 31},
        {"partition_s": 40.0},
        {"attackers": 3.0},
    ],
)
def test_parameters_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GossipParameters(**wrong)


def test_attackers_by_default_and_by_wish() -> None:
    assert GossipParameters().attacker_count == 0
    assert GossipParameters(attackers=0.5).attacker_count == 0, "without an attack there is nobody to attack"
    for attack, settings in ATTACKS.items():
        parameters = GossipParameters(attack=attack)
        assert parameters.scored == (attack is not Attack.NONE)
        if attack is not Attack.ECLIPSE:
            assert parameters.attacker_count == round(1000 * settings.share)
    assert GossipParameters(attack=Attack.ECLIPSE).attacker_count == 450
    assert GossipParameters(attack=Attack.SPAM, attackers=0.01).attacker_count == 10
    assert GossipParameters(attack=Attack.SPAM, scores=False).scored is False


@pytest.mark.parametrize("rate", [0.1, 1.0, 4.0, 200.0])
def test_silence_alone_does_not_graylist(rate: float) -> None:
    """A mesh neighbour that delivers nothing is pruned, and pruned again, but heard."""
    parameters = GossipParameters(rate=rate, scores=True)
    scores: Scores[int] = Scores(parameters.score_settings(), 0.0)
    scores.connected(1, (), 0.0)
    scores.grafted(1, TOPIC, 0.0)
    assert scores.score(1, 15.0) >= 0
    silent = scores.score(1, 30.0)
    assert silent == pytest.approx(-16, abs=1)
    scores.pruned(1, TOPIC, 30.0)
    thresholds = parameters.router_settings(0.1).thresholds
    assert thresholds.graylist < scores.score(1, 31.0) < thresholds.gossip < 0


def test_nobody_has_more_connections_than_allowed() -> None:
    network = GossipNetwork(GossipParameters(peers=50, least=4, most=6, seed=3))
    network.build()
    assert all(4 <= len(node.delays_ms) <= 6 for node in network.honest)


def test_a_network_smaller_than_its_connections_is_complete() -> None:
    network = GossipNetwork(GossipParameters(peers=8))
    network.build()
    assert all(len(node.delays_ms) == 7 for node in network.honest)
