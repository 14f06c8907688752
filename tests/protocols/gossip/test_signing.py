"""Policies, authors' keys, and that what is verified is what is used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.gossip import Message
from mesh.codecs.wire import encode_varint
from mesh.errors import DecodeError, PeerError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip.signing import (
    PREFIX,
    Policy,
    author_key,
    check_shape,
    seal,
    signed_part,
    verify,
)
from tests.vectors import cases

KEYS = {
    case["type"]: PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"])) for case in cases("keys")
}
ALICE = PrivateKey.from_seed(bytes([1]) * 32)
BOB = PrivateKey.from_seed(bytes([2]) * 32)
SEQNO = (7).to_bytes(8, "big")
SENDER, DATA, NUMBER, TOPIC, SIGNATURE, KEY = (number << 3 | 2 for number in range(1, 7))


def id_of(key: PrivateKey) -> bytes:
    return PeerId.from_public_key(key.public).to_bytes()


def sealed(key: PrivateKey = ALICE, data: bytes = b"hello", topic: str = "t") -> tuple[Message, bytes]:
    return seal(topic, data, id_of(key), SEQNO, key, Policy.STRICT_SIGN)


def field(tag: int, value: bytes) -> bytes:
    return encode_varint(tag) + encode_varint(len(value)) + value


def accepted(wire: bytes) -> bool:
    return verify(Message.decode(wire), wire)


# --- sealing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_sealed_is_verified(kind: str) -> None:
    key = KEYS[kind]
    message, wire = sealed(key)
    assert Message.decode(wire) == message
    assert (message.key is None) == (kind in ("ed25519", "secp256k1"))
    assert author_key(message) == key.public
    assert accepted(wire)


@pytest.mark.parametrize(
    ("policy", "signature", "author"),
    [
        (Policy.STRICT_SIGN, True, True),
        (Policy.LAX_SIGN, True, True),
        (Policy.LAX_NO_SIGN, False, True),
        (Policy.STRICT_NO_SIGN, False, False),
    ],
)
def test_what_a_policy_writes(policy: Policy, signature: bool, author: bool) -> None:
    message, wire = seal("t", b"d", id_of(ALICE), SEQNO, ALICE, policy)
    assert Message.decode(wire) == message
    assert (message.data, message.topic) == (b"d", "t")
    assert (message.signature is not None) == signature
    assert (message.sender, message.seqno) == ((id_of(ALICE), SEQNO) if author else (None, None))
    assert check_shape(message, policy) is None


def test_misuse_of_seal() -> None:
    with pytest.raises(UsageError, match="needs a key"):
        seal("t", b"", id_of(ALICE), SEQNO, None, Policy.STRICT_SIGN)
    with pytest.raises(UsageError, match="not the sender's"):
        seal("t", b"", id_of(BOB), SEQNO, ALICE, Policy.STRICT_SIGN)
    with pytest.raises(UsageError, match="topic"):
        sealed(topic="t" * 5000)
    for size in (2**20 - 60, 2**20):
        with pytest.raises(UsageError, match="at most 1048576"):
            sealed(data=bytes(size))


# --- policies of others' messages ----------------------------------------------------------------------

FULL = Message(b"s", b"d", SEQNO, "t", b"signature")


@pytest.mark.parametrize(
    ("message", "strict_sign", "strict_no_sign"),
    [
        (FULL, True, False),
        (Message(b"s", b"d", None, "t", b"signature"), True, False),
        (Message(b"s", b"d", SEQNO, "t"), False, False),
        (Message(None, b"d", SEQNO, "t", b"signature"), False, False),
        (Message(b"", b"d", SEQNO, "t", b"signature"), False, False),
        (Message(None, b"d", None, "t"), False, True),
        (Message(None, b"d", None, "t", b""), False, False),
        (Message(b"", b"d", None, "t"), False, False),
        (Message(None, b"d", b"", "t"), False, False),
        (Message(None, b"d", None, "t", None, b""), False, False),
    ],
)
def test_shapes(message: Message, strict_sign: bool, strict_no_sign: bool) -> None:
    assert (check_shape(message, Policy.STRICT_SIGN) is None) == strict_sign
    assert (check_shape(message, Policy.STRICT_NO_SIGN) is None) == strict_no_sign
    assert check_shape(message, Policy.LAX_SIGN) is None
    assert check_shape(message, Policy.LAX_NO_SIGN) is None


def test_a_message_without_signature_is_not_verified() -> None:
    _, wire = seal("t", b"", id_of(ALICE), SEQNO, None, Policy.LAX_NO_SIGN)
    assert not accepted(wire)
    assert not accepted(wire + field(SIGNATURE, b""))


def test_a_message_without_seqno_is_verified() -> None:
    body = Message(id_of(ALICE), b"d", None, "t").encode()
    assert accepted(body + field(SIGNATURE, ALICE.sign(PREFIX + body)))


# --- keys ----------------------------------------------------------------------------------------------


def test_an_attached_key_must_be_the_senders() -> None:
    _, wire = sealed()
    assert accepted(wire + field(KEY, ALICE.public.to_protobuf()))
    assert not accepted(wire + field(KEY, BOB.public.to_protobuf()))
    assert not accepted(wire + field(KEY, b""))


def test_nobody_signs_for_another() -> None:
    body = Message(id_of(ALICE), b"d", SEQNO, "t").encode()
    forged = body + field(SIGNATURE, BOB.sign(PREFIX + body))
    assert not accepted(forged)
    assert not accepted(forged + field(KEY, BOB.public.to_protobuf()))
    assert not accepted(forged + field(KEY, ALICE.public.to_protobuf()))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_an_id_that_is_a_digest_needs_the_key(kind: str) -> None:
    message, wire = sealed(KEYS[kind])
    assert message.key is not None
    bare = wire.removesuffix(field(KEY, message.key))
    assert bare != wire
    assert not accepted(bare)
    with pytest.raises(PeerError):
        author_key(Message.decode(bare))


@pytest.mark.parametrize(
    "sender", [b"", b"\x00", b"\x00\x00", b"\x00\x05abcde", b"\x12\x20abc", b"\xff" * 40]
)
def test_ids_without_a_key(sender: bytes) -> None:
    message = Message(sender, b"d", SEQNO, "t", bytes(64))
    with pytest.raises((DecodeError, PeerError)):
        author_key(message)
    assert not verify(message, message.encode())


def test_an_odd_form_of_a_key_inside_an_id_is_taken_as_go_takes_it() -> None:
    odd = b"\x12\x20" + ALICE.public.raw + b"\x08\x01"  # the key's fields in reverse
    sender = bytes((0, len(odd))) + odd
    body = Message(sender, b"d", SEQNO, "t").encode()
    wire = body + field(SIGNATURE, ALICE.sign(PREFIX + body))
    assert accepted(wire)
    assert not accepted(wire + field(KEY, ALICE.public.to_protobuf()))


def test_more_authors_than_are_remembered() -> None:
    for number in range(5000):
        raw = number.to_bytes(32, "big")
        message = Message(b"\x00\x24\x08\x01\x12\x20" + raw)
        assert author_key(message).raw == raw


# --- layouts -------------------------------------------------------------------------------------------


def test_the_usual_layout_is_signed_as_it_stands() -> None:
    for data in (b"", bytes(127), bytes(128), bytes(16383), bytes(16384), bytes(70000)):
        for topic in ("t", "\u00e9" * 64, "t" * 127, "t" * 128):
            message, wire = sealed(data=data, topic=topic)
            assert message.signature is not None
            assert signed_part(message, wire) == PREFIX + wire.removesuffix(
                field(SIGNATURE, message.signature)
            )
            assert accepted(wire)


def parts(message: Message) -> list[bytes]:
    """The fields of a sealed message, each encoded."""
    values = (message.sender, message.data, message.seqno, message.topic.encode(), message.signature)
    return [field(number << 3 | 2, value or b"") for number, value in enumerate(values, 1)]


@given(st.permutations(range(5)))
def test_order_makes_no_difference(order: list[int]) -> None:
    message, _ = sealed()
    encoded = parts(message)
    assert accepted(b"".join(encoded[number] for number in order))


@pytest.mark.parametrize("tag", [SENDER, DATA, NUMBER, TOPIC])
def test_a_second_occurrence_counts_wherever_it_stands(tag: int) -> None:
    message, wire = sealed()
    other = id_of(BOB) if tag == SENDER else b"other"
    assert not accepted(wire + field(tag, other))
    assert accepted(field(tag, other) + wire)
    assert Message.decode(field(tag, other) + wire) == message


def test_a_message_of_the_right_size_in_the_wrong_order() -> None:
    """Swapping two fields keeps the size; what is signed is still in order."""
    message, wire = sealed(data=b"12345678")
    sender, data, seqno, topic, signature = parts(message)
    swapped = sender + seqno + data + topic + signature
    assert len(swapped) == len(wire)
    assert signed_part(Message.decode(swapped), swapped) == PREFIX + sender + data + seqno + topic
    body = sender + seqno + data + topic
    assert not accepted(body + field(SIGNATURE, ALICE.sign(PREFIX + body)))


@pytest.mark.parametrize("unknown", ["3801", "4203616263", "490102030405060708", "5501020304", "5b08015c"])
def test_unknown_fields_are_signed_too(unknown: str) -> None:
    extra = bytes.fromhex(unknown)
    body = Message(id_of(ALICE), b"d", SEQNO, "t").encode()
    signature = field(SIGNATURE, ALICE.sign(PREFIX + body + extra))
    for wire in (body + extra + signature, extra + body + signature, body + signature + extra):
        assert accepted(wire)
        assert not accepted(wire + extra)
    assert not accepted(body + signature)


@pytest.mark.parametrize("tag", range(8, 56, 8))
def test_a_known_field_of_another_type_is_refused(tag: int) -> None:
    extra = bytes((tag, 1))
    body = Message(id_of(ALICE), b"d", SEQNO, "t").encode()
    assert not accepted(body + extra + field(SIGNATURE, ALICE.sign(PREFIX + body + extra)))
    assert not accepted(body + extra + field(SIGNATURE, ALICE.sign(PREFIX + body)))


def test_lengths_that_are_not_in_the_shortest_form() -> None:
    message, wire = sealed()
    sloppy = b"\x0a\xa6\x00" + wire[2:]
    assert Message.decode(sloppy) == message
    assert accepted(sloppy)


def test_a_topic_that_is_empty_may_be_there_or_not() -> None:
    for topic in (b"", b"\x22\x00"):
        body = Message(id_of(ALICE), b"d", SEQNO).encode() + topic
        assert accepted(body + field(SIGNATURE, ALICE.sign(PREFIX + body)))
    body = Message(id_of(ALICE), b"d", SEQNO).encode()
    assert not accepted(body + b"\x22\x00" + field(SIGNATURE, ALICE.sign(PREFIX + body)))


VALUES = {
    SENDER: st.binary(max_size=128),
    DATA: st.binary(max_size=300),
    NUMBER: st.binary(max_size=10),
    TOPIC: st.text(max_size=150).map(str.encode),
    SIGNATURE: st.binary(max_size=140),
    KEY: st.binary(max_size=140),
}
UNKNOWN = st.sampled_from([b"\x38\x01", b"\x42\x01a", b"\xf8\x06\x01", b"\x5b\x08\x01\x5c"])
ANY_FIELD = st.one_of(
    *(value.map(lambda value, tag=tag: (tag, value)) for tag, value in VALUES.items()),  # type: ignore[misc]
    UNKNOWN.map(lambda encoded: (0, encoded)),
)


@given(st.lists(ANY_FIELD, max_size=10), st.booleans())
def test_any_layout_gives_what_go_would_marshal(fields: list[tuple[int, bytes]], ordered: bool) -> None:
    if ordered:
        fields = sorted(dict(fields).items())
        fields = [each for each in fields if each[0]]
    wire = b"".join(field(tag, value) if tag else value for tag, value in fields)
    last = dict(fields)
    expected = b"".join(field(tag, last[tag]) for tag in (SENDER, DATA, NUMBER, TOPIC) if tag in last)
    expected += b"".join(value for tag, value in fields if not tag)
    assert signed_part(Message.decode(wire), wire) == PREFIX + expected


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    _, wire = sealed(data=b"payload")
    changed = bytearray(wire)
    changed[at % len(wire)] ^= change
    try:
        message = Message.decode(bytes(changed))
    except DecodeError:
        return
    assert not verify(message, bytes(changed))
