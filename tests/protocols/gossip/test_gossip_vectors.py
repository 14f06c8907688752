"""What go-libp2p-pubsub sent: read, verified, and written again byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

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
from mesh.codecs.wire import decode_uvarint, encode_uvarint
from mesh.identity.keys import PrivateKey
from mesh.protocols.gossip.message import default_id
from mesh.protocols.gossip.send_queue import SendQueue, as_field
from mesh.protocols.gossip.settings import Limits
from mesh.protocols.gossip.signing import Policy, check_shape, seal, signed_part, verify
from mesh.protocols.gossip.version import Version
from tests.vectors import cases, load

CASES = cases("gossipsub")
NAMED = {case["name"]: case for case in CASES}
MESSAGES = [case for case in CASES if "message" in case]
SIGNED = [case for case in MESSAGES if "signature" in case]
UNSIGNED = NAMED["unsigned message (StrictNoSign)"]
TOPIC = "vectors"


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def key_of(signer: str) -> PrivateKey:
    """The private key that a vector names."""
    actors = load("actors")
    if signer in actors:
        return PrivateKey.from_protobuf(bytes.fromhex(actors[signer]["private_protobuf"]))
    [case] = [case for case in cases("keys") if case["type"] == "rsa"]
    return PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"]))


@pytest.mark.parametrize("case", MESSAGES, ids=named)
def test_messages_are_read_and_written(case: dict[str, Any]) -> None:
    wire = bytes.fromhex(case["message"])
    message = Message.decode(wire)
    assert message.encode() == wire
    assert message.topic == case["topic"]
    for field, name in (("sender", "from"), ("seqno", "seqno"), ("signature", "signature"), ("key", "key")):
        assert getattr(message, field) == (bytes.fromhex(case[name]) if name in case else None)
    assert message.data == bytes.fromhex(case["data"])
    if "message_id_default" in case:
        assert default_id(message).hex() == case["message_id_default"]


@pytest.mark.parametrize("case", MESSAGES, ids=named)
def test_a_queue_frames_a_message_as_go_does(case: dict[str, Any]) -> None:
    framed = bytes.fromhex(case["rpc_framed"])
    queue = SendQueue(Limits(), Version.V1_2)
    assert queue.publish(as_field(bytes.fromhex(case["message"])), own=True)
    assert queue.take() == framed
    size, start = decode_uvarint(framed)
    assert Rpc.decode(framed, start, start + size).publish == [bytes.fromhex(case["message"])]


@pytest.mark.parametrize("case", SIGNED, ids=named)
def test_signed_messages_are_verified(case: dict[str, Any]) -> None:
    wire = bytes.fromhex(case["message"])
    message = Message.decode(wire)
    assert check_shape(message, Policy.STRICT_SIGN) is None
    assert signed_part(message, wire).hex() == case["signed_bytes"]
    assert verify(message, wire)


@pytest.mark.parametrize("case", SIGNED, ids=named)
def test_sealing_makes_the_same_bytes(case: dict[str, Any]) -> None:
    message, wire = seal(
        TOPIC,
        bytes.fromhex(case["data"]),
        bytes.fromhex(case["from"]),
        bytes.fromhex(case["seqno"]),
        key_of(case["signer"]),
        Policy.STRICT_SIGN,
    )
    assert wire.hex() == case["message"]
    assert message == Message.decode(wire)


def test_the_unsigned_message() -> None:
    message, wire = seal(
        TOPIC, bytes.fromhex(UNSIGNED["data"]), b"", b"", key_of("alice"), Policy.STRICT_NO_SIGN
    )
    assert wire.hex() == UNSIGNED["message"]
    assert check_shape(message, Policy.STRICT_NO_SIGN) is None
    assert check_shape(message, Policy.STRICT_SIGN) is not None


def prune_with_exchange() -> Rpc:
    data = bytes.fromhex(NAMED["PRUNE with PX of bob and alice's signed record"]["protobuf"])
    control = Rpc.decode(data).control
    assert control is not None
    [prune] = control.prune
    ids = [bytes.fromhex(load("actors")[name]["peer_id_bytes"]) for name in ("bob", "alice")]
    assert [peer.peer_id for peer in prune.peers] == ids
    record = prune.peers[1].signed_peer_record
    assert record
    peers = [ExchangedPeer(ids[0]), ExchangedPeer(ids[1], record)]
    return Rpc(control=Control(prune=[Prune(TOPIC, peers, 60)]))


def rpcs() -> dict[str, Rpc]:
    """The recorded RPCs without messages, made here."""
    return {
        "unsubscribe": Rpc([Subscription(False, TOPIC)]),
        "GRAFT": Rpc(control=Control(graft=[Graft(TOPIC)])),
        "PRUNE with backoff 60": Rpc(control=Control(prune=[Prune(TOPIC, backoff=60)])),
        "PRUNE with PX of bob and alice's signed record": prune_with_exchange(),
        "IHAVE": Rpc(control=Control([IHave(TOPIC, [b"id-one", b"id-two"])])),
        "IDONTWANT": Rpc(control=Control(idontwant=[IDontWant([b"id-one"])])),
        "extensions control (v1.3) with testExtension and partialMessages": Rpc(
            control=Control(extensions=Extensions(partial_messages=True, test_extension=True))
        ),
        "testExtension RPC": Rpc(test_extension=b""),
        "IWANT with message id that is not UTF-8 (must be accepted: treat ids as bytes)": Rpc(
            control=Control(iwant=[IWant([b"\x01\x02\xff"])])
        ),
    }


def test_every_recorded_rpc_is_made_here() -> None:
    assert set(rpcs()) == {case["name"] for case in CASES if "protobuf" in case}


@pytest.mark.parametrize("name", rpcs())
def test_rpcs_are_read_and_written(name: str) -> None:
    case, rpc = NAMED[name], rpcs()[name]
    data = bytes.fromhex(case["protobuf"])
    assert Rpc.decode(data) == rpc
    assert rpc.encode() == data
    if "framed" in case:
        assert (encode_uvarint(len(data)) + data).hex() == case["framed"]


def queued(name: str, queue: SendQueue) -> None:
    """Queue what makes a recorded RPC."""
    if name == "unsubscribe":
        queue.subscribe(TOPIC, False)
    elif name == "GRAFT":
        queue.graft(TOPIC)
    elif name.startswith("PRUNE"):
        control = rpcs()[name].control
        assert control is not None
        queue.prune(TOPIC, 60, control.prune[0].peers)
    elif name == "IHAVE":
        queue.ihave(TOPIC, [b"id-one", b"id-two"])
    elif name == "IDONTWANT":
        queue.idontwant([b"id-one"])
    elif name.startswith("IWANT"):
        queue.iwant([b"\x01\x02\xff"])
    else:
        queue.extensions(Extensions(partial_messages=True, test_extension=True))


@pytest.mark.parametrize("name", [name for name in rpcs() if name != "testExtension RPC"])
def test_a_queue_makes_the_rpcs_of_go(name: str) -> None:
    queue = SendQueue(Limits(), Version.V1_3)
    queued(name, queue)
    data = bytes.fromhex(NAMED[name]["protobuf"])
    assert queue.take() == encode_uvarint(len(data)) + data
    assert not queue
