"""`python -m tools.corpus`: writes the seeds of `fuzz/corpus` from the recorded vectors and from variations of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography import x509

from mesh.codecs import pex, rendezvous
from mesh.codecs.wire import Record
from protocol_specs.catalogue import CATALOGUE
from protocol_specs.grammar import Message
from tests.vectors import cases, load
from tools.agent_seeds import agent_seeds
from tools.beam_seeds import beam_seeds
from tools.dag_seeds import dag_seeds
from tools.lethean_seeds import lethean_seeds
from tools.market_seeds import market_seeds

TARGET = Path(__file__).resolve().parents[1] / "fuzz" / "corpus"

UNKNOWN_FIELDS = {
    "varint": "f806ac02",
    "fixed64": "f9060102030405060708",
    "bytes": "fa0603616263",
    "group": "fb06080112036162631319 0102030405060708 14fc06".replace(" ", ""),
    "fixed32": "fd0601020304",
}
"""One field numbered 111 of each wire type; the group holds fields and another group."""

GOSSIP_PARTS = {
    "subscription": ("08001207766563746f7273", "08011207766563746f727318002000"),
    "ihave": ("0a07766563746f7273120669642d6f6e65120669642d74776f",),
    "iwant": ("0a030102ff",),
    "graft": ("0a07766563746f7273",),
    "exchanged_peer": ("0a0600240801122012020203",),
    "prune": ("0a07766563746f7273183c", "0a017412080a060024080112201880a305"),
    "idontwant": ("0a0669642d6f6e65",),
    "extensions": ("50019091e21801",),
    "control": ("0a0c0a017412036f6e65120274771a030a017422050a0174183c2a050a036f6e65320250011203" + "0a0161",),
    "partial": ("0a017412026770 1a0170 22016d".replace(" ", ""),),
}
"""Parts of pubsub RPCs, each alone."""

MDNS_STRING = b"dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWPvSMQfQRD3BRQ3B9BFmVqtTqCDpTkVLMdEFAiKLhfA8N"

RELAY_PARTS = {
    "peer": ("0a06002408011220120804c0000201060fa1", "0a00"),
    "reservation": ("0880b1ef8607120804c0000201060fa11a03010203",),
    "limit": ("087810808008", "0800"),
    "hop": ("08021a0008ff", "2864"),
    "stop": ("", "080120ac02"),
}
"""Parts of messages to and from relays, each alone, and messages that lack some."""

AUTONAT_PARTS = {
    "peer_v1": ("0a060024080112201208" + "04c0000201060fa1",),
    "dial_v1": ("0a0c0a00120804c0000201060fa1",),
    "dial_response_v1": ("08001a0804c0000201060fa1", "0864120b6469616c206661696c6564"),
    "dial_request": ("0a0804c0000201060fa1110807060504030201",),
    "dial_response": ("08c80118c801", "0865"),
    "dial_data_request": ("10c0b802", "080110b0ea01"),
    "dial_data_response": ("0a0400000000",),
    "dial_back": ("090807060504030201",),
    "dial_back_response": ("", "0801"),
}
STUN_PARTS = {
    "error_code": ("00000414556e6b6e6f776e20417474726962757465", "00000300"),
    "unknown_attributes": ("00030027", ""),
    "change_request": ("00000006",),
    "fingerprint": ("e57a3bcf",),
}
"""Parts of AutoNAT and STUN messages, each alone."""

MAPPING_OPTION = "0200000400000000"
"""PREFER_FAILURE would have no data; any option with four bytes of it."""


def seeds() -> dict[str, list[bytes]]:
    """Inputs for every format of the catalogue, valid ones first."""
    found: dict[str, list[bytes]] = {name: [] for name in CATALOGUE}

    def take(name: str, group: Iterable[dict[str, Any]], *keys: str) -> None:
        for case in group:
            found[name] += [bytes.fromhex(case[key]) for key in keys if key in case]

    take("uvarint.uvarint", cases("uvarints"), "bytes")
    take("multihash.multihash", cases("peer_ids"), "bytes")
    take("cid.cid", cases("peer_ids"), "cid_bytes", "bytes")
    take("cid.cid", cases("cids"), "cidv1_dagpb_bytes", "cidv1_raw_bytes")
    take("multiaddr.multiaddr", [*cases("multiaddrs"), *cases("multiaddrs_bytes_edge")], "bytes")
    for name, key in (("keys.public_key", "public_protobuf"), ("keys.private_key", "private_protobuf")):
        take(name, [*cases("keys"), *cases("key_fixtures"), *cases("key_decoding")], key)
    take("envelope.envelope", cases("envelopes"), "envelope")
    take("peer_record.peer_record", cases("envelopes"), "payload")
    take("peer_record.address_info", [{"bytes": "0a0804c0000201060fa1"}], "bytes")
    take("multistream.token", cases("multistream"), "bytes")
    noise = load("noise_libp2p")
    take("noise.handshake_payload", [noise], "initiator_payload", "responder_payload")
    take("noise.noise_extensions", [{"bytes": "0a0461626364120c2f79616d75782f312e302e30"}], "bytes")
    take("noise.frame", [noise], "message_1_framed", "message_2_framed", "message_3_framed")
    take("noise.frame", noise["transport"], "framed")
    found["tls_identity.extension"] = _certificate_extensions()
    found["tls_identity.signed_key"] = [
        data[-size:]
        for data in found["tls_identity.extension"]
        for size in [data[1] if data[1] < 0x80 else data[2]]
    ]
    take("yamux.header", [{"bytes": case["bytes"][:24]} for case in cases("yamux_frames")], "bytes")
    take("identify.identify", cases("identify"), "protobuf")
    take("kademlia.message", cases("kad_messages"), "protobuf")
    take("kademlia.answer", cases("kad_messages"), "protobuf")
    take("kademlia.peer", [{"bytes": "0a06002408011220120804c0000201060fa11801"}], "bytes")
    take("kademlia.value_record", [{"bytes": "0a052f706b2f611201622a0132"}], "bytes")
    take("ipns.ipns_record", [case for case in cases("kad_validation") if "/ipns/" in case["name"]], "value")
    take("gossip.message", cases("gossipsub"), "message")
    take("gossip.rpc", cases("gossipsub"), "protobuf")
    take("gossip.rpc", [{"bytes": "1217120c68656c6c6f20676f737369702207766563746f7273"}], "bytes")
    for part, encodings in GOSSIP_PARTS.items():
        take(f"gossip.{part}", [{"bytes": encoding} for encoding in encodings], "bytes")
    _take_reachability(take)
    found |= _mdns_records() | _rendezvous_messages() | _peer_exchanges()
    _take_quic(take)
    found |= _relay_messages()
    take("dcutr.hole_punch", cases("dcutr"), "protobuf")
    found["ping.ping"] = [bytes(range(32)), bytes(31)]
    found |= lethean_seeds() | agent_seeds() | beam_seeds() | dag_seeds() | market_seeds()
    found["perf.request"] = [bytes(8), b"\xff" * 8, bytes(7)]
    for name, entry in CATALOGUE.items():
        if isinstance(entry.schema, Message):
            found[name] += _variations(found[name][0])
    return found


def _relay_messages() -> dict[str, list[bytes]]:
    """Recorded messages of both kinds and vouchers, then the parts that are listed above."""
    vouchers = [bytes.fromhex(each["payload"]) for each in cases("envelopes") if "relay" in each]
    found = {"relay.voucher": vouchers}
    for kind in ("hop", "stop"):
        recorded = [case for case in cases("circuit_v2") if case["name"].startswith(kind)]
        found[f"relay.{kind}"] = [bytes.fromhex(case["protobuf"]) for case in recorded]
    for part, encodings in RELAY_PARTS.items():
        found.setdefault(f"relay.{part}", []).extend(map(bytes.fromhex, encodings))
    return found


def _take_quic(take: Callable[..., None]) -> None:
    """Packets of the RFCs."""
    quic = cases("quic", "quic")
    take("quic.initial", quic, "initial")
    take("quic.retry", quic, "retry")
    take("quic.long_header", quic, "long_header")
    take("quic.short_header", quic, "short_header")
    take("quic.version_negotiation", [{"bytes": "80000000000008f067a5502a4262b500000001"}], "bytes")
    take("quic.version_negotiation", [{"bytes": "c000000000088394c8f03e515708001a2a3a4a00000001"}], "bytes")
    take("quic.retry_token", [{"bytes": "00000000000186a0088394c8f03e515708f067a5502a4262b5"}], "bytes")


def _take_reachability(take: Callable[..., None]) -> None:
    """AutoNAT and STUN."""
    take("autonat.message_v1", cases("autonat_v1"), "protobuf")
    take(
        "autonat.message_v2",
        [case for case in cases("autonat_v2") if "DialBack" not in case["name"]],
        "protobuf",
    )
    for part, encodings in AUTONAT_PARTS.items():
        take(f"autonat.{part}", [{"bytes": encoding} for encoding in encodings], "bytes")
    take("stun.message", cases("stun", "stun"), "message")
    take("stun.address", cases("stun", "stun"), "address")
    for part, encodings in STUN_PARTS.items():
        take(f"stun.{part}", [{"bytes": encoding} for encoding in encodings], "bytes")
    _take_port_mapping(take)


def _take_port_mapping(take: Callable[..., None]) -> None:
    """What a router was asked and answered."""
    old, new = cases("nat_pmp", "port_mapping"), cases("pcp", "port_mapping")
    mapped = [case for case in old if len(case["answer"]) == 32]
    take("nat_pmp.address_request", old[:1], "request")
    take("nat_pmp.address_answer", old[:1], "answer")
    take("nat_pmp.map_request", mapped, "request")
    take("nat_pmp.map_answer", mapped, "answer")
    take("nat_pmp.head", old, "answer")
    take("pcp.map_request", [case for case in new if len(case["request"]) == 120], "request")
    take("pcp.answer", new, "answer")
    data = [case["answer"][48:] for case in new if len(case["answer"]) == 120]
    take("pcp.mapping", [{"bytes": each} for each in (*data, data[0] + MAPPING_OPTION)], "bytes")


def _mdns_records() -> dict[str, list[bytes]]:
    strings = [MDNS_STRING, b"dnsaddr=", b"other=value"]
    records = [bytes([len(each)]) + each for each in strings]
    return {"mdns.peer_address": strings, "mdns.txt": [*records, b"".join(records), b""]}


def _rendezvous_messages() -> dict[str, list[bytes]]:
    """Every kind of message around a recorded signed record, and its parts."""
    record = bytes.fromhex(next(each["envelope"] for each in cases("envelopes") if "seq" in each))
    register = rendezvous.Register(namespace="mesh", signed_peer_record=record, ttl_s=7200)
    kinds = rendezvous.MessageType
    found: dict[str, list[Record]] = {
        "register": [register],
        "register_response": [rendezvous.RegisterResponse(status=rendezvous.Status.OK, ttl_s=7200)],
        "unregister": [rendezvous.Unregister(namespace="mesh")],
        "discover": [rendezvous.Discover(namespace="mesh", limit=10, cookie=bytes(12))],
        "discover_response": [rendezvous.DiscoverResponse(registrations=[register], cookie=bytes(12))],
    }
    parts = {f"rendezvous.{name}": [each.encode() for each in records] for name, records in found.items()}
    messages = [
        rendezvous.Message(type=kinds.REGISTER, register=register),
        rendezvous.Message(type=kinds.REGISTER_RESPONSE, register_response=rendezvous.RegisterResponse()),
        rendezvous.Message(type=kinds.UNREGISTER, unregister=rendezvous.Unregister(namespace="mesh")),
        rendezvous.Message(type=kinds.DISCOVER, discover=rendezvous.Discover()),
        rendezvous.Message(
            type=kinds.DISCOVER_RESPONSE,
            discover_response=rendezvous.DiscoverResponse(registrations=[register], cookie=b"cookie"),
        ),
    ]
    return parts | {"rendezvous.message": [each.encode() for each in messages]}


def _peer_exchanges() -> dict[str, list[bytes]]:
    records = [bytes.fromhex(each["envelope"]) for each in cases("envelopes") if "seq" in each][:2]
    requests = [pex.Request(limit=50, record=records[0]), pex.Request()]
    answers = [pex.Answer(status=pex.Status.OK, records=records), pex.Answer(status=1, retry_after_s=30)]
    return {
        "pex.request": [each.encode() for each in requests],
        "pex.answer": [each.encode() for each in answers],
    }


def _certificate_extensions() -> list[bytes]:
    """The values of libp2p's extension in the recorded certificates, each once."""
    group = load("tls_certificates")
    found = [
        each.value.public_bytes()
        for case in group["cases"]
        for each in x509.load_der_x509_certificate(bytes.fromhex(case["certificate"])).extensions
        if each.oid.dotted_string == group["oid"]
    ]
    return list(dict.fromkeys(found))


def _variations(valid: bytes) -> list[bytes]:
    """A message with unknown fields, cut short, and twice in a row."""
    unknown = [bytes.fromhex(field) for field in UNKNOWN_FIELDS.values()]
    return [valid + b"".join(unknown), *(field + valid for field in unknown), valid[:-1], valid + valid]


def main() -> None:
    """Write the files that are missing; nothing is removed."""
    for name, inputs in seeds().items():
        folder = TARGET / name
        folder.mkdir(parents=True, exist_ok=True)
        for data in inputs:
            (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    print(f"corpus in {TARGET}")


if __name__ == "__main__":
    main()
