"""How generated decoders treat what is odd: protobuf's latitude, our limits, the errors and their places."""

from __future__ import annotations

import pytest

from mesh.codecs import multistream, wire, yamux
from mesh.codecs.gossip import IHave
from mesh.codecs.identify import Identify
from mesh.codecs.keys import KeyType, PublicKey
from mesh.codecs.noise import HandshakePayload, NoiseExtensions
from mesh.codecs.peer_record import AddressInfo, PeerRecord
from mesh.errors import DecodeError, Malformed, Truncated, UsageError

AGENT = bytes.fromhex("3201 61")


@pytest.mark.parametrize(
    "unknown",
    [
        "3801",
        "7a0161",
        "790102030405060708",
        "7d01020304",
        "7b7c",
        "7b0801120161 1b1c 7c",
        "f8ffffff0f01",
        "3001",
        "31 0102030405060708",
    ],
)
def test_unknown_fields_are_skipped(unknown: str) -> None:
    extra = bytes.fromhex(unknown)
    for data in (extra + AGENT, AGENT + extra, extra * 3 + AGENT):
        assert Identify.decode(data) == Identify(agent_version="a")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("0200", "field number 0"),
        ("800000", "field number 0"),
        ("8080808010", "field number"),
        ("7e", "wire type 6"),
        ("7f", "wire type 7"),
        ("7c", "wire type 4"),
        ("7b0801 84 01", "wire type 4"),
        ("7b" * 17 + "7c" * 17, "nest deeper than 16"),
        ("ffffffffffffffffff02", "more than 64 bits"),
        ("78" + "ff" * 9 + "02", "more than 64 bits"),
        ("3201ff", "not UTF-8"),
        ("3203eda080", "not UTF-8"),
        ("0a8140" + "00" * 10, "at most 8192"),
    ],
)
def test_malformed_protobufs(data: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Identify.decode(bytes.fromhex(data))


def test_groups_nest_sixteen_deep() -> None:
    assert Identify.decode(b"\x7b" * 16 + b"\x7c" * 16 + AGENT) == Identify(agent_version="a")


@pytest.mark.parametrize(
    "data", ["32", "320261", "32ff", "78", "7801ff", "79 01020304", "7d01", "7b", "7b0801"]
)
def test_truncated_protobufs(data: str) -> None:
    with pytest.raises(Truncated):
        Identify.decode(bytes.fromhex(data))


def test_the_last_scalar_wins_and_lists_append() -> None:
    data = (
        Identify(agent_version="a", protocols=["x"]).encode()
        + Identify(agent_version="b", protocols=["y"]).encode()
    )
    assert Identify.decode(data) == Identify(agent_version="b", protocols=["x", "y"])


def test_embedded_messages_merge() -> None:
    parts = [
        HandshakePayload(extensions=NoiseExtensions(stream_muxers=["a"])),
        HandshakePayload(identity_key=b"k"),
        HandshakePayload(extensions=NoiseExtensions([b"h"], ["b"])),
    ]
    merged = HandshakePayload.decode(b"".join(part.encode() for part in parts))
    assert merged == HandshakePayload(b"k", None, NoiseExtensions([b"h"], ["a", "b"]))


def test_each_part_of_a_merged_message_must_be_whole() -> None:
    halves = bytes.fromhex("2202 1203 2202 6161") + b""
    with pytest.raises(Malformed, match="crosses the end"):
        HandshakePayload.decode(halves)


def test_an_element_may_not_cross_the_message_around_it() -> None:
    with pytest.raises(Malformed, match=r"AddressInfo.*crosses the end"):
        PeerRecord.decode(bytes.fromhex("1a030a0561") + bytes(10))


def test_implicit_fields_have_defaults_that_are_not_written() -> None:
    assert PeerRecord.decode(b"") == PeerRecord(b"", 0, [])
    assert PeerRecord().encode() == b""
    assert PeerRecord(addresses=[AddressInfo()]).encode() == b"\x1a\x00"


@pytest.mark.parametrize("length", [0, 1, 40, 127, 128])
def test_elements_alike_are_read_like_any_others(length: int) -> None:
    alike = [bytes((number % 256,)) * length for number in range(2 * wire.RUN + 3)]
    for ids in (alike, [*alike[:5], b"longer by far" * 9, *alike[:3]], [*alike[:2], b"", *alike[:2], b"a"]):
        encoded = IHave("t", ids).encode()
        assert IHave.decode(encoded) == IHave("t", ids)
        if ids[-1]:
            with pytest.raises(Truncated):
                IHave.decode(encoded[:-1])
        tags_differ = IHave("t", ids[:3]).encode() + b"\x0a\x01u" + IHave("", ids[3:]).encode()
        assert IHave.decode(tags_differ) == IHave("u", ids)


def test_too_many_elements_alike_are_refused_at_the_first_beyond() -> None:
    entry = b"\x12\x02id"
    assert len(IHave.decode(entry * 65536).message_ids) == 65536
    with pytest.raises(Malformed, match="more than 65536") as caught:
        IHave.decode(entry * 65540)
    assert caught.value.offset == 65536 * 4 + 2


def test_required_fields() -> None:
    with pytest.raises(Malformed, match=r"PublicKey\.data .*required"):
        PublicKey.decode(b"\x08\x01")
    with pytest.raises(Malformed, match=r"PublicKey\.type .*required"):
        PublicKey.decode(b"\x12\x00")
    with pytest.raises(Malformed, match=r"PublicKey\.type at 1: 4 is no KeyType"):
        PublicKey.decode(b"\x08\x04\x12\x00")


def test_an_enum_is_cut_to_32_bits_like_any_int32() -> None:
    data = b"\x08" + wire.encode_varint(2**40 + 1) + b"\x12\x00"
    assert PublicKey.decode(data).type is KeyType.ED25519


def test_limits_hold_both_ways() -> None:
    with pytest.raises(Malformed, match="Identify at 0: 8193 bytes"):
        Identify.decode(bytes(8193))
    with pytest.raises(Malformed, match=r"Identify.listen_addrs.*500"):
        Identify.decode(b"\x12\x00" * 501)
    with pytest.raises(UsageError, match=r"Identify.listen_addrs.*500"):
        Identify(listen_addrs=[b""] * 501).encode()
    with pytest.raises(UsageError, match=r"PublicKey.data: 2049 bytes"):
        PublicKey(KeyType.RSA, bytes(2049)).encode()
    with pytest.raises(UsageError, match="Identify: 8198 bytes"):
        Identify(public_key=bytes(4096), signed_peer_record=bytes(4096)).encode()
    with pytest.raises(UsageError, match="UTF-8"):
        Identify(agent_version="\ud800").encode()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_gives_bytes(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    data = b"..." + Identify(public_key=b"key", listen_addrs=[b"a"]).encode() + b"..."
    message = Identify.decode(kind(data), 3, len(data) - 3)
    assert type(message.public_key) is bytes
    assert type(message.listen_addrs[0]) is bytes
    assert message == Identify(b"key", [b"a"])
    assert multistream.decode_token(kind(b"\x03na\n")) == ("na", 4)
    header = yamux.Header(0, yamux.FrameType.PING, 1, 0, 7)
    assert yamux.Header.decode(kind(header.encode())) == header


def test_a_region_outside_the_input_is_the_callers_fault() -> None:
    with pytest.raises(UsageError):
        Identify.decode(b"abc", 2, 4)
    with pytest.raises(UsageError):
        Identify.decode(b"abc", 4)


def test_errors_say_where() -> None:
    with pytest.raises(Malformed) as caught:
        Identify.decode(b"??" + AGENT + b"\x1a\x01\xff", 2)
    assert (caught.value.field, caught.value.offset) == ("Identify.protocols", 7)


def test_records_compare_by_value_and_print() -> None:
    one = AddressInfo(multiaddr=b"a")
    assert one == AddressInfo(b"a")
    assert one != AddressInfo(b"b")
    assert one != b"a"
    assert repr(one) == "AddressInfo(multiaddr=b'a')"
    with pytest.raises(TypeError):
        hash(one)
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]


# --- tokens, varints, headers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Truncated),
        (b"\x80", Truncated),
        (b"\x03na", Truncated),
        (b"\x80\x08" + bytes(1023), Truncated),
        (b"\x00", Malformed),
        (b"\x81\x08", Malformed),
        (b"\xff\xff", Malformed),
        (b"\x83\x00na\n", Malformed),
        (b"\x03nab", Malformed),
        (b"\x03\xff\xff\n", Malformed),
    ],
)
def test_refused_tokens(data: bytes, error: type[DecodeError]) -> None:
    with pytest.raises(error) as caught:
        multistream.decode_token(data)
    assert type(caught.value) is error


def test_tokens_at_the_limit() -> None:
    token = multistream.encode_token("a" * 1023)
    assert multistream.decode_token(token) == ("a" * 1023, 1026)
    with pytest.raises(UsageError, match="1025 bytes"):
        multistream.encode_token("a" * 1024)


@pytest.mark.parametrize(("limit", "data"), [(127, b"\x80"), (1024, b"\xff\x88"), (2**14, b"\x81\x80")])
def test_a_uvarint_is_refused_as_soon_as_it_must_be_too_large(limit: int, data: bytes) -> None:
    with pytest.raises(Malformed):
        wire.decode_uvarint(data, 0, limit)


def test_uvarint_bounds() -> None:
    assert wire.decode_uvarint(b"\x7f\x80\x01", 1) == (128, 3)
    assert wire.decode_uvarint(b"\x80\x08", max=1024) == (1024, 2)
    with pytest.raises(Malformed):
        wire.decode_uvarint(b"\x81\x08", max=1024)
    with pytest.raises(Truncated):
        wire.decode_uvarint(b"\xff" * 8)
    with pytest.raises(Malformed):
        wire.decode_uvarint(b"\xff" * 9)
    for number in (-1, 2**63):
        with pytest.raises(UsageError):
            wire.encode_uvarint(number)


@pytest.mark.parametrize(
    ("data", "field", "offset"),
    [("010000000000000000000000", "Header.version", 0), ("000400000000000000000000", "Header.type", 1)],
)
def test_refused_headers(data: str, field: str, offset: int) -> None:
    with pytest.raises(Malformed) as caught:
        yamux.Header.decode(bytes.fromhex(data))
    assert (caught.value.field, caught.value.offset) == (field, offset)


def test_header_sizes() -> None:
    with pytest.raises(Truncated):
        yamux.Header.decode(bytes(11))
    with pytest.raises(Malformed, match="1 bytes left over"):
        yamux.Header.decode(bytes(13))
    with pytest.raises(UsageError, match=r"Header\.length"):
        yamux.Header(0, yamux.FrameType.DATA, 0, 1, 2**32).encode()
