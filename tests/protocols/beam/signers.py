"""Peers that sign records, and records of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.name_record import NameRecord, NameTransfer, sign_name, sign_transfer
from mesh.protocols.beam.service_record import ServiceRecord, sign_service

NOW_S = 1_800_000_000.0
NOW_MS = int(NOW_S * 1000)
KEYS = [PrivateKey.from_seed(bytes([number]) * 32) for number in range(1, 7)]
PEERS = [PeerId.from_public_key(each.public) for each in KEYS]
ADDRESS = Multiaddr.parse("/ip4/192.168.1.100/tcp/8080")


def service(who: int = 0, seq: int = 1, **more: Any) -> ServiceRecord:
    """A record signed by a peer."""
    made = ServiceRecord("myapp.local", "http", PEERS[who], (ADDRESS,), 3600, seq, NOW_MS)
    return sign_service(KEYS[who], replace(made, **more))


def name(who: int = 0, version: int = 1, **more: Any) -> NameRecord:
    """A record of `myapp` signed by an owner."""
    made = NameRecord(bytes(16), "myapp", PEERS[who], "myapp.local", NOW_MS, NOW_MS, 86400, version)
    return sign_name(KEYS[who], replace(made, **more))


def transfer(record: NameRecord, to: int) -> NameTransfer:
    """The owner of a record gives the name to another peer."""
    return sign_transfer(KEYS[PEERS.index(record.owner)], record, PEERS[to], NOW_MS)
