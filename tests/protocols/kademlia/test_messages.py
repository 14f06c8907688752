"""The messages of go-libp2p-kad-dht, read and written byte for byte, and the codec's limits."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.kademlia import ConnectionType, Message, MessageType, Peer, ValueRecord
from mesh.codecs.wire import encode_uvarint
from mesh.errors import DecodeError, Malformed
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import reply
from tests.vectors import cases

MESSAGES = cases("kad_messages")
BOB = bytes.fromhex("0024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394")
ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001").to_bytes()


@pytest.mark.parametrize("case", MESSAGES, ids=lambda case: case["name"])
def test_recorded_messages(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["protobuf"])
    message = Message.decode(data)
    assert message.encode() == data
    assert bytes.fromhex(case["framed"]) == encode_uvarint(len(data)) + data
    assert message.cluster_level_raw == 1
    fields = case["fields"]
    if "key" in fields:
        assert message.key == bytes.fromhex(fields["key"])
    if "closerPeers" in fields:
        assert len(message.closer_peers) == fields["closerPeers"]
    if "timeReceived" in fields:
        assert message.record is not None
        assert message.record.time_received == fields["timeReceived"]


def test_a_request_is_written_as_go_does() -> None:
    message = Message(MessageType.FIND_NODE, BOB, cluster_level_raw=1)
    assert message.encode().hex() == MESSAGES[0]["protobuf"]


def test_put_value_is_absent_on_the_wire() -> None:
    message = Message(MessageType.PUT_VALUE, b"/pk/a", ValueRecord(b"/pk/a", b"v"))
    assert message.encode()[0] == 0x12
    assert Message.decode(message.encode()) == message
    assert Message.decode(b"") == Message(MessageType.PUT_VALUE)


def test_an_address_that_means_nothing_spoils_no_other() -> None:
    sent = Message(MessageType.FIND_NODE, closer_peers=[Peer(BOB, [b"\xff", ADDRESS, b"", bytes(5000)])])
    assert Message.decode(sent.encode()).closer_peers[0].addrs == [b"\xff", ADDRESS, b"", bytes(5000)]


def test_an_unknown_connection_is_kept() -> None:
    data = Message(closer_peers=[Peer(BOB, [], 9)]).encode()
    assert Message.decode(data).closer_peers[0].connection == 9
    assert Message.decode(data).encode() == data


def test_a_full_answer_of_go_fits() -> None:
    peers = [Peer(bytes([n]) * 38, [ADDRESS] * 60, ConnectionType.CONNECTED) for n in range(21)]
    assert len(Message.decode(Message(MessageType.FIND_NODE, closer_peers=peers).encode()).closer_peers) == 21
    providers = Message(MessageType.GET_PROVIDERS, provider_peers=peers * 40)
    assert len(Message.decode(providers.encode()).provider_peers) == 840


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ("0863", "Message.type"),
        ("128108" + "00" * 1025, "Message.key"),
        ("1a8408" + "0a8108" + "00" * 1025, "ValueRecord.key"),
        ("4200" * 65, "Message.closer_peers"),
        ("4a00" * 1025, "Message.provider_peers"),
        ("42ea07" + "1200" * 501, "Peer.addrs"),
    ],
)
def test_limits(data: str, field: str) -> None:
    with pytest.raises(Malformed, match=field):
        Message.decode(bytes.fromhex(data))


def test_four_mebibytes() -> None:
    limit = 4 * 2**20
    with pytest.raises(DecodeError):
        Message.decode(b"\x12\x01a" * (limit // 3 + 1))


def test_answers_from_parts_are_the_codecs() -> None:
    peers = [Peer(BOB, [ADDRESS]), Peer(b"\x00\x01a", [], ConnectionType.CAN_CONNECT)]
    parts = [reply.closer_peer(each.id, each.addrs, each.connection) for each in peers]
    record = ValueRecord(b"/pk/a", b"value", "2026-01-02T03:04:05Z")
    built = reply.answer(MessageType.GET_VALUE, parts, key=b"/pk/a", record=record, provider_peers=peers)
    whole = Message(MessageType.GET_VALUE, b"/pk/a", record, peers, peers, 1)
    assert built == whole.encode()
    assert reply.answer(MessageType.PING, []) == Message(MessageType.PING, cluster_level_raw=1).encode()


def test_an_answer_of_parts_is_what_go_sends() -> None:
    part = reply.closer_peer(BOB, [ADDRESS], ConnectionType.CONNECTED)
    assert reply.answer(MessageType.FIND_NODE, [part]).hex() == MESSAGES[1]["protobuf"]
