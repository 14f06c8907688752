"""Every format: the compiler, the fuzzer, the equivalence tests and the documentation walk this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol_specs import (
    agent_delivery,
    autonat,
    beam,
    beam_route,
    beam_session,
    beam_sync,
    bitswap,
    car,
    cid,
    crdt,
    crdt_snapshot,
    dag_pb,
    dcutr,
    envelope,
    gossip,
    identify,
    ipns,
    kademlia,
    keys,
    levin,
    market,
    mdns,
    multiaddr,
    multihash,
    multistream,
    nat_pmp,
    noise,
    openclaw,
    pcp,
    peer_record,
    perf,
    pex,
    ping,
    portable_storage,
    quic,
    relay,
    rendezvous,
    smsg,
    stun,
    tim,
    tls_identity,
    ueps,
    unixfs,
    uvarint,
    yamux,
)
from protocol_specs.grammar import Layout, Message, bare

MODULES = (
    uvarint.MODULE,
    multihash.MODULE,
    cid.MODULE,
    multiaddr.MODULE,
    keys.MODULE,
    envelope.MODULE,
    peer_record.MODULE,
    multistream.MODULE,
    noise.MODULE,
    tls_identity.MODULE,
    yamux.MODULE,
    identify.MODULE,
    ipns.MODULE,
    ping.MODULE,
    perf.MODULE,
    kademlia.MODULE,
    gossip.MODULE,
    mdns.MODULE,
    rendezvous.MODULE,
    pex.MODULE,
    beam.MODULE,
    beam_route.MODULE,
    beam_session.MODULE,
    beam_sync.MODULE,
    quic.MODULE,
    relay.MODULE,
    dcutr.MODULE,
    autonat.MODULE,
    stun.MODULE,
    nat_pmp.MODULE,
    pcp.MODULE,
    smsg.MODULE,
    tim.MODULE,
    ueps.MODULE,
    levin.MODULE,
    portable_storage.MODULE,
    openclaw.MODULE,
    agent_delivery.MODULE,
    market.MODULE,
    dag_pb.MODULE,
    unixfs.MODULE,
    crdt.MODULE,
    crdt_snapshot.MODULE,
    bitswap.MODULE,
    car.MODULE,
)

VECTORS = {
    "uvarint.uvarint": "uvarints",
    "multihash.multihash": "peer_ids",
    "cid.cid": "cids",
    "multiaddr.multiaddr": "multiaddrs",
    "keys.public_key": "keys",
    "keys.private_key": "keys",
    "envelope.envelope": "envelopes",
    "peer_record.peer_record": "envelopes",
    "multistream.token": "multistream",
    "noise.handshake_payload": "noise_libp2p",
    "noise.frame": "noise_libp2p",
    "tls_identity.extension": "tls_certificates",
    "yamux.header": "yamux_frames",
    "identify.identify": "identify",
    "ipns.ipns_record": "kad_validation",
    "kademlia.message": "kad_messages",
    "gossip.message": "gossipsub",
    "gossip.rpc": "gossipsub",
    "quic.initial": "quic",
    "quic.retry": "quic",
    "quic.long_header": "quic",
    "relay.hop": "circuit_v2",
    "relay.stop": "circuit_v2",
    "relay.voucher": "envelopes",
    "dcutr.hole_punch": "dcutr",
    "autonat.message_v1": "autonat_v1",
    "autonat.message_v2": "autonat_v2",
    "stun.message": "stun",
    "nat_pmp.head": "nat_pmp",
    "nat_pmp.map_request": "nat_pmp",
    "pcp.map_request": "pcp",
    "pcp.answer": "pcp",
    "smsg.container": "lethean",
    "smsg.box": "lethean",
    "tim.payload": "lethean",
    "ueps.packet": "lethean",
    "levin.header": "lethean",
    "portable_storage.storage": "lethean",
    "openclaw.frame": "message_protocol",
    "market.frame": "frames",
    "market.reply": "frames",
    "dag_pb.pb_node": "dag_pb",
    "unixfs.data": "dag_pb",
    "crdt.broadcast": "crdt",
    "crdt.delta": "crdt",
    "bitswap.message": "bitswap",
}
"""The group of recorded vectors that holds a format, by the format's name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One format.

    `name` is module and item (`"yamux.header"`), also the folder of its corpus. `implementation` is the
    module of the code, `symbol` the class in it, or the item's key where the code is `encode_<key>` and
    `decode_<key>`. `generated` tells compiled formats from those written by hand. `vectors` is a group of
    `tests/vectors` or empty.
    """

    name: str
    schema: Any
    implementation: str
    symbol: str
    generated: bool
    reference: str
    vectors: str

    @property
    def is_class(self) -> bool:
        """Whether the code is a class with `decode` and `encode`, whose input is a whole record, not a stream."""
        return isinstance(self.schema, Layout | Message)


def _entries() -> dict[str, Entry]:
    found = {}
    for module in MODULES:
        for key, item in module.items.items():
            name, schema = f"{module.name}.{key}", bare(item)
            found[name] = Entry(
                name=name,
                schema=schema,
                implementation=module.home,
                symbol=schema.title if isinstance(schema, Layout | Message) else key,
                generated=not module.implementation,
                reference=module.reference,
                vectors=VECTORS.get(name, ""),
            )
    return found


CATALOGUE: dict[str, Entry] = _entries()
