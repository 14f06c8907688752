"""What is read by a layout known before is what is read field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.gossip import Message
from mesh.codecs.wire import encode_varint
from mesh.errors import DecodeError
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip.layout import MOST_BYTES, Layout
from mesh.protocols.gossip.signing import PREFIX, Policy, seal, signed_part

KEY = PrivateKey.from_seed(bytes([1]) * 32)
SEQNO = (7).to_bytes(8, "big")


def sealed(data: bytes, topic: str = "topic", key: PrivateKey = KEY) -> bytes:
    sender = PeerId.from_public_key(key.public).to_bytes()
    return seal(topic, data, sender, SEQNO, key, Policy.STRICT_SIGN)[1]


def taught(topic: str = "topic") -> Layout:
    layout = Layout()
    layout.read(sealed(b"first", topic))
    return layout


def agrees(layout: Layout, wire: bytes) -> int:
    """Checks one reading; returns the signed bytes that it told of."""
    try:
        expected = Message.decode(wire)
    except DecodeError:
        with pytest.raises(DecodeError):
            layout.read(wire)
        return 0
    message, signed_bytes = layout.read(wire)
    assert message == expected
    if signed_bytes:
        assert PREFIX + wire[:signed_bytes] == signed_part(message, wire)
    return signed_bytes


@pytest.mark.parametrize(
    "size", [0, 1, 126, 127, 128, 129, 130, 16383, 16384, 16385, MOST_BYTES, MOST_BYTES + 1]
)
def test_data_of_any_length_is_read_by_a_known_layout(size: int) -> None:
    assert (agrees(taught(), sealed(bytes(size))) > 0) == (size <= MOST_BYTES)


@pytest.mark.parametrize("topic", ["t", "other topic", "äöü", "t" * 127, "t" * 128, ""])
def test_another_topic_is_learned(topic: str) -> None:
    layout, wire = taught(), sealed(b"data", topic)
    assert not agrees(layout, wire)
    assert (agrees(layout, wire) > 0) == (0 < len(topic.encode()) < 128)


@pytest.mark.parametrize("kind", [KeyType.SECP256K1, KeyType.ECDSA])
def test_authors_of_other_kinds(kind: KeyType) -> None:
    layout, wire = taught(), sealed(b"data", key=PrivateKey.generate(kind))
    agrees(layout, wire)
    agrees(layout, wire)


@given(st.binary(max_size=300), st.data())
def test_a_message_that_was_tampered_with_is_read_as_it_stands(data: bytes, draw: st.DataObject) -> None:
    layout, wire = taught(), bytearray(sealed(data))
    for _ in range(draw.draw(st.integers(0, 3))):
        at = draw.draw(st.integers(0, len(wire) - 1))
        wire[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=2))
    agrees(layout, bytes(wire))


def test_lengths_not_in_their_shortest_form_and_fields_out_of_order() -> None:
    message = Message.decode(sealed(b"data"))
    assert message.sender is not None
    assert message.signature is not None
    parts = [
        b"\x0a" + encode_varint(len(message.sender)) + message.sender,
        b"\x12\x04data",
        b"\x1a\x08" + SEQNO,
        b"\x22\x05topic",
        b"\x2a\x40" + message.signature,
    ]
    assert agrees(taught(), b"".join(parts))
    for wire in (
        b"".join([*parts[:1], b"\x12\x84\x00data", *parts[2:]]),
        b"".join(parts[1:2] + parts[:1] + parts[2:]),
        b"".join(parts[:2] + parts[1:]),
        b"".join(parts[:1] + parts[2:]),
        b"".join([*parts, b"\x3a\x01x"]),
        b"".join([b"\x3a\x01x", *parts]),
    ):
        assert not agrees(taught(), wire)
