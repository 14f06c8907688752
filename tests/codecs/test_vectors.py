"""The recorded vectors: what others wrote is read, and written again byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs import (
    autonat,
    dcutr,
    envelope,
    identify,
    keys,
    multistream,
    nat_pmp,
    noise,
    pcp,
    peer_record,
    perf,
    ping,
    quic,
    relay,
    stun,
    yamux,
)
from mesh.codecs.wire import Record, decode_uvarint, encode_uvarint, encode_varint62, read_varint62
from mesh.errors import DecodeError, Malformed, Truncated
from tests.vectors import cases, load

NOISE = load("noise_libp2p")
KEY_DECODING = [case for case in cases("key_decoding") if "public_protobuf" in case]
SEMANTIC = {"ed25519 key 31 bytes", "ed25519 key 33 bytes"}
"""Refused by what the key is, not by the protobuf."""


@pytest.mark.parametrize("case", cases("uvarints"), ids=lambda case: case["bytes"])
def test_uvarints(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    if case.get("go") == "reject":
        with pytest.raises(DecodeError):
            decode_uvarint(data)
        return
    assert decode_uvarint(data) == (int(case["value"]), len(data))
    assert encode_uvarint(int(case["value"])) == data


@pytest.mark.parametrize("case", [*cases("keys"), *cases("key_fixtures")])
def test_keys(case: dict[str, Any]) -> None:
    public = bytes.fromhex(case["public_protobuf"])
    private = bytes.fromhex(case["private_protobuf"])
    assert keys.PublicKey.decode(public).encode() == public
    assert keys.PrivateKey.decode(private).encode() == private
    assert keys.PublicKey.decode(public).type == keys.PrivateKey.decode(private).type


@pytest.mark.parametrize("case", KEY_DECODING, ids=lambda case: case["name"])
def test_unusual_key_encodings(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["public_protobuf"])
    if case["go"] == "reject" and case["name"] not in SEMANTIC:
        with pytest.raises(Malformed):
            keys.PublicKey.decode(data)
        return
    key = keys.PublicKey.decode(data)
    assert key.type is keys.KeyType.ED25519
    assert key.encode() == b"\x08\x01\x12" + bytes((len(key.data),)) + key.data


@pytest.mark.parametrize("case", cases("envelopes"), ids=lambda case: case.get("name", case["domain"]))
def test_envelopes(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["envelope"])
    if case.get("name") == "truncated":
        with pytest.raises(Truncated):
            envelope.Envelope.decode(data)
        return
    found = envelope.Envelope.decode(data)
    assert found.encode() == data
    assert keys.PublicKey.decode(found.public_key).encode() == found.public_key
    if "payload" in case:
        assert found.payload == bytes.fromhex(case["payload"])
        assert found.payload_type == bytes.fromhex(case["payload_type"])
        assert found.signature == bytes.fromhex(case["signature"])
    if "seq" in case:
        record = peer_record.PeerRecord.decode(found.payload)
        assert record.encode() == found.payload
        assert record.seq == int(case["seq"])
        assert len(record.addresses) == len(case["addrs"])


@pytest.mark.parametrize("case", cases("multistream"), ids=lambda case: case["text"])
def test_multistream_tokens(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    assert multistream.decode_token(data + b"next") == (case["text"], len(data))
    assert multistream.decode_token(b"\x00" + data, 1) == (case["text"], len(data) + 1)
    assert multistream.encode_token(case["text"]) == data


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_noise_payloads(side: str) -> None:
    data = bytes.fromhex(NOISE[f"{side}_payload"])
    payload = noise.HandshakePayload.decode(data)
    assert payload.encode() == data
    assert payload.extensions == noise.NoiseExtensions(stream_muxers=["/yamux/1.0.0"])
    assert payload.identity_sig is not None
    assert len(payload.identity_sig) == 64


@pytest.mark.parametrize("number", [1, 2, 3])
def test_noise_frames(number: int) -> None:
    data = bytes.fromhex(NOISE[f"message_{number}_framed"])
    message, stop = noise.decode_frame(data)
    assert stop == len(data)
    assert noise.encode_frame(message) == data
    assert noise.LENGTH.unpack_from(data) == (len(message),)


@pytest.mark.parametrize("case", cases("yamux_frames"), ids=lambda case: case["name"])
def test_yamux_headers(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header, stop = yamux.Header.decode_prefix(data)
    assert stop == yamux.HEADER_BYTES
    assert header == yamux.Header(
        version=0,
        type=yamux.FrameType(case["type"]),
        flags=case["flags"],
        stream_id=case["stream_id"],
        length=case["length"],
    )
    assert header.encode() == data[:12]
    assert yamux.Header.decode(data, 0, 12) == header


@pytest.mark.parametrize("case", [case for case in cases("identify") if "protobuf" in case])
def test_identify(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["protobuf"])
    message = identify.Identify.decode(data)
    assert message.encode() == data
    fields = case["fields"]
    if "protocols" in fields:
        assert message.protocols == fields["protocols"]
    if "agentVersion" in fields:
        assert message.agent_version == fields["agentVersion"]
        assert message.public_key == bytes.fromhex(fields["publicKey"])


def test_parts_of_identify_joined_are_the_whole() -> None:
    whole = identify.Identify.decode(bytes.fromhex(cases("identify")[0]["protobuf"]))
    [chunked] = [case for case in cases("identify") if "stream" in case]
    stream = bytes.fromhex(chunked["stream"])
    joined, offset = b"", 0
    while offset < len(stream):
        size, offset = decode_uvarint(stream, offset)
        joined += stream[offset : offset + size]
        offset += size
    assert identify.Identify.decode(joined) == whole


@pytest.mark.parametrize("case", cases("quic", "quic"), ids=lambda case: case["name"])
def test_quic_packets(case: dict[str, Any]) -> None:
    named = {key: bytes.fromhex(case[key]) for key in ("destination_id", "source_id") if key in case}
    kinds: dict[str, type[Record]] = {
        "initial": quic.Initial,
        "long_header": quic.LongHeader,
        "retry": quic.Retry,
        "short_header": quic.ShortHeader,
    }
    for kind in kinds.keys() & case.keys():
        data = bytes.fromhex(case[kind])
        packet = kinds[kind].decode(data)
        assert packet.encode() == data
        assert {key: getattr(packet, key) for key in named} == named
        if isinstance(packet, quic.Initial):
            assert (packet.token, packet.length) == (b"", case["length"])
        if isinstance(packet, quic.Retry):
            assert packet.token_and_tag[: -quic.TAG_BYTES] == bytes.fromhex(case["token"])


@pytest.mark.parametrize("case", load("quic", "quic")["numbers"], ids=lambda case: case["bytes"])
def test_quic_numbers(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    assert read_varint62(b"\0" + data + b"\0", 1, len(data) + 2, 0, 2**62 - 1, "n") == (
        case["value"],
        len(data) + 1,
    )
    assert (encode_varint62(case["value"]) == data) is not case.get("longer", False)
    with pytest.raises(Truncated):
        read_varint62(data, 0, len(data) - 1, 0, 2**62 - 1, "n")


@pytest.mark.parametrize("case", [*cases("autonat_v1"), *cases("autonat_v2")], ids=lambda case: case["name"])
def test_autonat(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["protobuf"])
    name = case["name"]
    kind: type[Record] = autonat.MessageV1 if case in cases("autonat_v1") else autonat.MessageV2
    if name.startswith("DialBack"):
        kind = autonat.DialBackResponse if name.startswith("DialBackResponse") else autonat.DialBack
    assert kind.decode(data).encode() == data


def test_what_the_autonat_vectors_say() -> None:
    by_name = {case["name"]: bytes.fromhex(case["protobuf"]) for case in cases("autonat_v2")}
    request = autonat.MessageV2.decode(by_name["DialRequest"]).dial_request
    assert request is not None
    assert (request.nonce, len(request.addrs)) == (0x0102030405060708, 1)
    answer = autonat.MessageV2.decode(by_name["DialResponse OK/OK"]).dial_response
    assert answer == autonat.DialResponse(200, 0, 200)
    price = autonat.MessageV2.decode(by_name["DialDataRequest idx 0, 40000 bytes"]).dial_data_request
    assert price == autonat.DialDataRequest(0, 40_000)


@pytest.mark.parametrize("case", cases("stun", "stun"), ids=lambda case: case["name"])
def test_stun(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["message"])
    message = stun.Message.decode(data)
    values = dict(message.attributes)
    assert message.length == len(data) - stun.HEADER_LENGTH == len(message.encode()) - stun.HEADER_LENGTH
    assert values[stun.AttributeType.SOFTWARE].decode() == case["software"]
    assert stun.Fingerprint.decode(values[stun.AttributeType.FINGERPRINT]).encode() == data[-4:]
    if "address" in case:
        address = stun.Address.decode(values[stun.AttributeType.XOR_MAPPED_ADDRESS])
        assert address.encode() == bytes.fromhex(case["address"])


@pytest.mark.parametrize("case", cases("nat_pmp", "port_mapping"), ids=lambda case: case["name"])
def test_nat_pmp(case: dict[str, Any]) -> None:
    asked, answered = bytes.fromhex(case["request"]), bytes.fromhex(case["answer"])
    head = nat_pmp.Head.decode(answered)
    assert (head.version, head.operation, head.encode()) == (0, asked[1] + nat_pmp.ANSWER, answered)
    if len(answered) == 16:
        request, answer = nat_pmp.MapRequest.decode(asked), nat_pmp.MapAnswer.decode(answered)
        assert (request.encode(), answer.encode()) == (asked, answered)
        assert (answer.internal_port, answer.lifetime) == (request.internal_port, request.lifetime)
    elif len(answered) == 12:
        assert nat_pmp.AddressAnswer.decode(answered).address == bytes((11, 3, 1, 2))


@pytest.mark.parametrize("case", cases("pcp", "port_mapping"), ids=lambda case: case["name"])
def test_pcp(case: dict[str, Any]) -> None:
    asked, answered = bytes.fromhex(case["request"]), bytes.fromhex(case["answer"])
    answer = pcp.Answer.decode(answered)
    assert (answer.opcode, answer.encode()) == (asked[1] + pcp.ANSWER_BIT, answered)
    if len(answered) == 60 and asked[0] == pcp.VERSION:
        request, mapping = pcp.MapRequest.decode(asked), pcp.Mapping.decode(answer.data)
        assert (request.encode(), mapping.encode()) == (asked, answer.data)
        assert (mapping.nonce, mapping.protocol) == (request.nonce, request.protocol)


def test_ping_and_perf() -> None:
    assert ping.PING_BYTES == 32
    assert ping.decode_ping(bytes(range(40))) == (bytes(range(32)), 32)
    assert perf.Request(download_bytes=258).encode() == bytes.fromhex("0000000000000102")
    assert perf.Request.decode(bytes.fromhex("0000000000000102")).download_bytes == 258


@pytest.mark.parametrize("case", cases("circuit_v2"), ids=lambda case: case["name"])
def test_circuit_relay(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["protobuf"])
    kind = relay.HopMessage if case["name"].startswith("hop") else relay.StopMessage
    found = kind.decode(data)
    assert found.encode() == data
    assert encode_uvarint(len(data)) + data == bytes.fromhex(case["framed"])
    if "data" in case["fields"]:
        assert found.limit == relay.Limit(case["fields"]["duration"], case["fields"]["data"])
    if "status" in case["fields"]:
        assert found.status == case["fields"]["status"]


def test_a_relay_message_of_type_0_says_so() -> None:
    assert relay.HopMessage(type=relay.HopType.RESERVE).encode() == b"\x08\x00"
    assert relay.StopMessage(type=relay.StopType.CONNECT).encode() == b"\x08\x00"
    assert relay.HopMessage.decode(b"").type is None


def test_a_relay_message_has_4096_bytes_at_most() -> None:
    longest = relay.HopMessage(relay.HopType.CONNECT, relay.Peer(id=bytes(4096 - 2 - 6)))
    assert len(longest.encode()) == 4096
    with pytest.raises(Malformed):
        relay.HopMessage.decode(longest.encode() + b"\x28\x64")
    with pytest.raises(Malformed, match="type"):
        relay.HopMessage.decode(b"\x08\x03")


@pytest.mark.parametrize("case", cases("dcutr"), ids=lambda case: case["name"])
def test_hole_punch(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["protobuf"])
    found = dcutr.HolePunch.decode(data)
    assert found.type == case["fields"]["type"]
    assert found.encode() == data
    assert encode_uvarint(len(data)) + data == bytes.fromhex(case["framed"])


@pytest.mark.parametrize("case", [each for each in cases("envelopes") if "relay" in each])
def test_vouchers(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["payload"])
    found = relay.Voucher.decode(data)
    assert found.encode() == data
    assert found.expiration == case["expiration"]
