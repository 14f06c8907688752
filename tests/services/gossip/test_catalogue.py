"""The conformance catalogue's suite `gossipsub`, 41 cases, against our own node over TCP.

What must not happen is asserted once something sent later over the same stream has happened: a peer's RPCs are acted on
in their order.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.codecs.gossip import (
    Control,
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
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import PROTOCOLS
from tests.hostile.raw_pubsub import (
    MIB,
    TOPIC,
    UNKNOWN_FIELDS,
    Bench,
    announced,
    framed,
    id_of,
    raw_peer,
    was_reset,
)
from tests.network.live import Nodes, eventually, round_trip
from tests.services.gossip.network import gossip_node, take
from tests.vectors import cases

KIB = 1024
BACKOFF_S = 30
HEARTBEAT_S = 1.0


Case = Callable[[Bench], Awaitable[None]]
CASES: dict[str, Case] = {}
SETTINGS: dict[str, dict[str, Any]] = {}
LONG = {"gossipsub/3.5"}


def case(name: str, **settings: Any) -> Callable[[Case], Case]:
    """Registers a case; ``settings`` are of the node's section."""

    def register(function: Case) -> Case:
        CASES[f"gossipsub/{name}"] = function
        SETTINGS[f"gossipsub/{name}"] = settings
        return function

    return register


@case("1.1")
async def best_version(bench: Bench) -> None:
    every = await raw_peer(bench.nodes, *PROTOCOLS)
    await every.connect(bench.node)
    assert [each.protocol for each in every.streams] == ["/meshsub/1.3.0"]
    await every.open(bench.node)
    await every.send(Rpc(subscriptions=[Subscription(True, TOPIC)]))
    await eventually(lambda: every.id in bench.node.pubsub.peers(TOPIC), "its stream heard")


@case("1.2")
async def first_rpc(bench: Bench) -> None:
    bench.node.pubsub.join("another")
    late = await raw_peer(bench.nodes)
    await late.connect(bench.node)
    await eventually(lambda: late.received, "an RPC")
    assert [(each.subscribe, each.topic) for each in late.received[0].subscriptions] == [
        (True, TOPIC),
        (True, "another"),
    ]


@case("1.3")
async def every_version(bench: Bench) -> None:
    offered = (await bench.peer.node.identify(bench.node.listen_addrs[0])).protocols
    assert set(PROTOCOLS) <= set(offered)
    for protocol in PROTOCOLS:
        peer = await raw_peer(bench.nodes, protocol)
        await peer.enter(bench.node, TOPIC)
        assert [each.protocol for each in peer.streams] == [protocol]
        wire = peer.wire(protocol.encode())
        await peer.publish(wire)
        await bench.forwarded(wire)


@case("1.4")
async def unknown_fields(bench: Bench) -> None:
    wire = bench.peer.wire(b"known")
    control = Control(graft=[Graft("elsewhere")]).encode() + UNKNOWN_FIELDS
    entry = b"\x1a" + framed(control)
    await bench.peer.write(framed(UNKNOWN_FIELDS + entry + Rpc(publish=[wire]).encode() + UNKNOWN_FIELDS))
    await bench.forwarded(wire)


@case("1.5")
async def empty_rpc(bench: Bench) -> None:
    await bench.peer.write(b"\x00")
    await bench.passes(bench.peer.wire(b"after nothing"))


@case("1.6")
async def undecodable(bench: Bench) -> None:
    for garbage in (b"\x03\xff\xff\xff", b"\x02\x0a\x05", framed(b"\x1a\x04\x0a\x7fab"), b"\xff" * 10):
        await bench.reset(garbage)


@case("1.7")
async def too_long(bench: Bench) -> None:
    tracemalloc.start()
    try:
        await bench.peer.write(announced(MIB + 1))
        assert bench.peer.own is not None
        await was_reset(bench.peer.own)
        assert tracemalloc.get_traced_memory()[1] < 512 * KIB
    finally:
        tracemalloc.stop()
    await bench.again()


@case("1.8")
async def second_stream(bench: Bench) -> None:
    await bench.passes(bench.peer.wire(b"over the first"))
    await bench.again()


@case("1.9")
async def written_to_the_reader(bench: Bench) -> None:
    (theirs,) = bench.peer.streams
    await theirs.write(framed(Rpc(publish=[bench.peer.wire(b"backwards")]).encode()))
    await eventually(lambda: bench.node.counters["gossip.data_on_outbound"], "it read")
    await bench.passes(bench.peer.wire(b"forwards"))
    assert b"backwards" not in bench.witness.data()


@case("1.10")
async def many_subscriptions(bench: Bench) -> None:
    topics = [f"topic {number}" for number in range(2000)]
    await bench.peer.send(Rpc(subscriptions=[Subscription(True, each) for each in topics]))
    await bench.passes(bench.peer.wire(b"after many"))
    assert sum(bench.peer.id in bench.node.pubsub.peers(each) for each in topics) in range(2001)


@case("1.11")
async def much_control(bench: Bench) -> None:
    entries = [IHave("t" * 1000, []) for _ in range(530)]
    rpc = Rpc(control=Control(ihave=entries)).encode()
    assert len(rpc) > 512 * KIB
    await bench.reset(framed(rpc))


@case("2.1")
async def signed(bench: Bench) -> None:
    await bench.passes(bench.peer.wire(b"hello"))
    vector = next(each for each in cases("gossipsub") if each["name"] == "signed message, secp256k1")
    message = Message.decode(bytes.fromhex(vector["message"]))
    topic = bench.node.pubsub.join(message.topic)
    await bench.witness.send(Rpc(subscriptions=[Subscription(True, topic.name)]))
    await eventually(lambda: bench.witness.id in topic.mesh(), "the witness in its mesh")
    await bench.passes(bytes.fromhex(vector["message"]))


@case("2.2")
async def twice(bench: Bench) -> None:
    wire = bench.peer.wire(b"once")
    await bench.passes(wire)
    await bench.peer.publish(wire, wire)
    await bench.peer.publish(wire)
    await bench.passes(bench.peer.wire(b"after"))
    assert bench.witness.data() == [b"once", b"after"]


@case("2.3")
async def altered_signature(bench: Bench) -> None:
    wire = bench.peer.wire(b"altered")
    await bench.stops(wire[:-1] + bytes([wire[-1] ^ 1]), wire.replace(b"altered", b"changed"))
    assert bench.node.pubsub.counts()["forged"] == 2


@case("2.4")
async def unsigned(bench: Bench) -> None:
    bare = Message(bench.peer.id.to_bytes(), b"unsigned", bytes(8), TOPIC)
    await bench.stops(bare.encode(), Message(data=b"nobody's", topic=TOPIC).encode())


@case("2.5")
async def another_author(bench: Bench) -> None:
    wrong = bench.peer.wire(b"not mine", sender=bench.witness.id.to_bytes())
    none = bench.peer.wire(b"of no author", sender=b"")
    await bench.stops(wrong, none, bench.peer.wire(b"of no id", sender=b"no id"))


@case("2.6")
async def own_message(bench: Bench) -> None:
    own = bench.node.peer_id.to_bytes()
    await bench.stops(
        bench.peer.wire(b"yours", sender=own), bench.peer.wire(b"yours", sender=own, key=bench.node.key)
    )
    assert bench.node.pubsub.counts()["own"] == 2


@case("2.7")
async def wrong_key(bench: Bench) -> None:
    other = PrivateKey.generate()
    attached = other.public.to_protobuf()
    await bench.stops(
        bench.peer.wire(b"theirs", attached=attached),
        bench.peer.wire(b"theirs, signed so", attached=attached, key=other),
        bench.peer.wire(b"no key", attached=b"\x08\x01\x12\x7f"),
    )


@case("2.8")
async def needless_key(bench: Bench) -> None:
    wire = bench.peer.wire(b"needless", attached=bench.peer.node.key.public.to_protobuf())
    await bench.peer.publish(wire)
    await bench.passes(bench.peer.wire(b"after"))
    assert bench.witness.data() in ([b"needless", b"after"], [b"after"])


@case("2.9")
async def without_a_number(bench: Bench) -> None:
    await bench.stops(bench.peer.wire(b"numberless", seqno=None))


@case("2.10")
async def unjoined_topic(bench: Bench) -> None:
    await bench.witness.send(Rpc(subscriptions=[Subscription(True, "elsewhere")]))
    await eventually(lambda: bench.witness.id in bench.node.pubsub.peers("elsewhere"), "the witness there")
    await bench.stops(bench.peer.wire(b"to nobody", "nobody"), bench.peer.wire(b"there", "elsewhere"))


@case("2.11")
async def empty_data(bench: Bench) -> None:
    await bench.passes(bench.peer.wire(b""))
    await bench.passes(bench.peer.wire(None))
    assert [each.data for each in await take(bench.reader, 2)] == [b"", b""]


@case("2.12")
async def not_to_its_source(bench: Bench) -> None:
    await bench.passes(bench.peer.wire(b"mine"))
    await bench.passes(bench.peer.wire(b"of another", key=(key := PrivateKey.generate()), sender=name(key)))
    await bench.witness.publish(bench.witness.wire(b"back"))
    await eventually(lambda: b"back" in bench.peer.data(), "what the witness wrote")
    assert bench.peer.data() == [b"back"]


@case("2.13")
async def rsa_author(bench: Bench) -> None:
    key = PrivateKey.generate(KeyType.RSA)
    wire = bench.peer.wire(b"rsa", key=key, sender=name(key), attached=key.public.to_protobuf())
    await bench.passes(wire)


@case("3.1")
async def graft_with_room(bench: Bench) -> None:
    peer = await raw_peer(bench.nodes)
    await peer.enter(bench.node, TOPIC)
    await peer.graft(bench.node)
    wire = bench.witness.wire(b"follows")
    await bench.witness.publish(wire)
    await eventually(lambda: wire in peer.wires(), "a forwarded message")
    assert peer.prunes() == []


@case("3.2")
async def graft_unknown_topic(bench: Bench) -> None:
    await bench.peer.control(graft=[Graft("nowhere")])
    await bench.peer.heard()
    assert {topic for topic, _ in bench.peer.prunes()} <= {"nowhere"}
    assert bench.node.pubsub.mesh("nowhere") == []


@case("3.3")
async def prune_unknown_topic(bench: Bench) -> None:
    await bench.peer.control(prune=[Prune("nowhere", backoff=60)])
    await bench.passes(bench.peer.wire(b"after"))
    assert bench.peer.id in bench.node.pubsub.mesh(TOPIC)


@case("3.4")
async def graft_in_the_backoff(bench: Bench) -> None:
    await bench.peer.control(prune=[Prune(TOPIC, backoff=BACKOFF_S)])
    await bench.peer.control(graft=[Graft(TOPIC)])
    await eventually(bench.peer.prunes, "PRUNE")
    assert bench.peer.prunes() == [(TOPIC, 60)]
    assert bench.peer.id not in bench.node.pubsub.mesh(TOPIC)


@case("3.5", heartbeat_s=1.0)
async def respects_the_backoff(bench: Bench) -> None:
    before, pruned = len(bench.peer.grafts()), time.monotonic()
    await bench.peer.control(prune=[Prune(TOPIC, backoff=BACKOFF_S)])
    async with asyncio.timeout(2 * BACKOFF_S):
        while len(bench.peer.grafts()) == before:  # noqa: ASYNC110 - what the node sends has no event
            await asyncio.sleep(0.1)
    assert time.monotonic() - pruned >= BACKOFF_S


@case("3.6")
async def ihave(bench: Bench) -> None:
    ids = [b"one", b"\xff\x00two"]
    await bench.peer.control(ihave=[IHave(TOPIC, ids)])
    await eventually(lambda: len(bench.peer.asked_for()) >= 2, "IWANT")
    assert sorted(bench.peer.asked_for()) == sorted(ids)


@case("3.7")
async def ihave_unjoined_topic(bench: Bench) -> None:
    await bench.peer.control(ihave=[IHave("nowhere", [b"one"])])
    await bench.peer.heard()
    assert b"one" not in bench.peer.asked_for()


@case("3.8")
async def many_ids(bench: Bench) -> None:
    ids = [number.to_bytes(40, "big") for number in range(6000)]
    await bench.peer.control(ihave=[IHave(TOPIC, ids)])
    await eventually(bench.peer.asked_for, "IWANT")
    await bench.passes(bench.peer.wire(b"after"))
    await eventually(lambda: len(bench.peer.asked_for()) == bench.node.pubsub.counts()["asked"], "all of it")
    assert 0 < len(bench.peer.asked_for()) <= 5000
    assert set(bench.peer.asked_for()) <= set(ids)


@case("3.9", heartbeat_s=60.0)
async def many_announcements(bench: Bench) -> None:
    rpcs = [Rpc(control=Control(ihave=[IHave(TOPIC, [b"%d" % number])])) for number in range(30)]
    await bench.peer.write(b"".join(framed(each.encode()) for each in rpcs))
    await bench.passes(bench.peer.wire(b"after"))
    await eventually(lambda: len(bench.peer.asked_for()) == bench.node.pubsub.counts()["asked"], "all of it")
    assert 10 <= len(bench.peer.asked_for()) <= 20, "the first heartbeat may be among them"


@case("3.10", heartbeat_s=60.0)
async def iwant(bench: Bench) -> None:
    wire = bench.witness.wire(b"fresh")
    late = await raw_peer(bench.nodes, "/meshsub/1.1.0")
    await late.connect(bench.node)
    await late.open(bench.node)
    await bench.witness.publish(wire)
    await take(bench.reader, 1)
    for _ in range(6):
        await late.control(iwant=[IWant([id_of(wire)])])
    await late.heard()
    assert late.wires() == [wire] * 3


@case("3.11", heartbeat_s=60.0)
async def iwant_unknown(bench: Bench) -> None:
    await bench.peer.control(iwant=[IWant([b"unknown", b""])])
    await bench.peer.heard()
    assert bench.peer.wires() == []


@case("3.12", heartbeat_s=60.0)
async def idontwant(bench: Bench) -> None:
    unwanted, wanted = bench.witness.wire(b"unwanted"), bench.witness.wire(b"wanted")
    await bench.peer.control(idontwant=[IDontWant([id_of(unwanted)])])
    await bench.peer.heard()
    await bench.witness.publish(unwanted)
    await bench.witness.publish(wanted)
    await eventually(lambda: wanted in bench.peer.wires(), "the other message")
    assert bench.peer.wires() == [wanted]


@case("3.13")
async def declines_long_messages(bench: Bench) -> None:
    short, long = bench.witness.wire(bytes(1023)), bench.witness.wire(bytes(1024))
    await bench.witness.publish(short)
    await bench.witness.publish(long)
    await eventually(lambda: long in bench.peer.wires(), "both messages")
    assert bench.peer.declined() in ([], [id_of(long)])
    assert bench.witness.declined() == [], "who sent it"


@case("3.14", heartbeat_s=60.0)
async def binary_ids(bench: Bench) -> None:
    (vector,) = [each for each in cases("gossipsub") if "ids" in each]
    wire = bench.witness.wire(b"binary", seqno=b"\xff\xfe\x00\x80\xc0\xc1\xf5\xff")
    await bench.witness.publish(wire)
    await eventually(lambda: wire in bench.peer.wires(), "the message")
    await bench.peer.write(framed(bytes.fromhex(vector["protobuf"])))
    await bench.peer.answered(id_of(wire))
    assert bench.peer.wires() == [wire, wire]


@case("3.15")
async def late_extensions(bench: Bench) -> None:
    peer = await raw_peer(bench.nodes, "/meshsub/1.3.0")
    await peer.enter(bench.node, TOPIC)
    await peer.control(extensions=Extensions(test_extension=True))
    wire = peer.wire(b"lives")
    await peer.publish(wire)
    await bench.forwarded(wire)
    assert bench.node.pubsub.counts()["late_extensions"] == 1


@case("3.16")
async def unknown_extension(bench: Bench) -> None:
    peer = await raw_peer(bench.nodes, "/meshsub/1.3.0")
    await peer.connect(bench.node)
    await peer.open(bench.node)
    extensions = b"\x32" + framed(UNKNOWN_FIELDS + Extensions(test_extension=True).encode())
    await peer.write(framed(b"\x1a" + framed(extensions)))
    wire = peer.wire(b"lives")
    await peer.publish(wire)
    await bench.forwarded(wire)


@case("3.17")
async def leaves(bench: Bench) -> None:
    await bench.node.pubsub.leave(TOPIC)
    for each in (bench.peer, bench.witness):
        await eventually(each.prunes, "PRUNE")
        assert each.prunes() == [(TOPIC, 10)]
        told = [
            topic.subscribe for rpc in each.received for topic in rpc.subscriptions if topic.topic == TOPIC
        ]
        assert [bool(on) for on in told] == [True, False]


def name(key: PrivateKey) -> bytes:
    """The id of who has the key."""
    return PeerId.from_public_key(key.public).to_bytes()


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.long] if each in LONG else []) for each in CASES]
)
async def test_case(name: str, nodes: Nodes) -> None:
    node = await gossip_node(nodes, **{"heartbeat_s": HEARTBEAT_S, **SETTINGS[name]})
    reader = node.pubsub.join(TOPIC).subscribe()
    peer, witness = await raw_peer(nodes), await raw_peer(nodes)
    for each in (peer, witness):
        await each.enter(node, TOPIC)
    bench = Bench(nodes, node, reader, peer, witness)
    await bench.mesh()
    await CASES[name](bench)
    assert {peer.id, witness.id} <= {each.peer for each in node.connections}, "a connection was lost"
    fresh = await nodes.start("")
    await round_trip(fresh, node)
    assert not node.counters["handler.crashed"]


def test_all_of_the_catalogue() -> None:
    sections = {1: 11, 2: 13, 3: 17}
    expected = {
        f"gossipsub/{section}.{number}" for section, last in sections.items() for number in range(1, last + 1)
    }
    assert set(CASES) == expected
    assert len(CASES) == 41
