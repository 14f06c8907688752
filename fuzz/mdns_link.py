"""Packets of multicast DNS into the reader and the machine: tables stay bounded, and nobody is heard without a name."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.mdns import (
    INSTANCES_OF_PEER,
    MAX_PEERS,
    STRINGS_READ,
    TTL_S,
    Answer,
    Mdns,
    Query,
    txt_of,
)
from mesh.services.mdns_packets import read_packet, write_packets

SERVICE = "_p2p._udp.local"
LINK = "eth0"
LENGTH_BYTES = 2
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")


def peer(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


def packets(rng: random.Random) -> tuple[bytes, ...]:
    """What some nodes of a link ask and answer, each packet behind its length."""
    said: list[bytes] = []
    for _ in range(rng.randrange(2, 9)):
        number = rng.randrange(4)
        ports = rng.sample(range(1, 1000), rng.randrange(1, 6))
        addresses = [Multiaddr.parse(f"/ip4/192.0.2.{number + 2}/udp/{port}/quic-v1") for port in ports]
        name, ttl_s = f"node{number}.{SERVICE}", rng.choice((TTL_S, TTL_S, 0.0, 2.0**31))
        answer = Answer(LINK, name, txt_of(addresses, peer(number)), ttl_s, 4001, (f"192.0.2.{number + 2}",))
        said += write_packets(rng.choice((answer, answer, Query(LINK, SERVICE))), SERVICE)
    return tuple(len(each).to_bytes(LENGTH_BYTES, "big") + each for each in said)


def live_link(parts: Sequence[bytes]) -> object:
    """A machine on one link, a second for each packet; what it said, heard and holds at the end."""
    data = b"".join(parts)
    machine = Mdns(SERVICE, "own", peer(99), 1000, lambda: 0.5)
    machine.set_link(LINK, [HERE], 0.0)
    seen: list[object] = []
    at = 0
    now = 0.0
    while at + LENGTH_BYTES <= len(data):
        end = at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        heard = read_packet(data[at + LENGTH_BYTES : end]) if machine.admit(LINK, now) else None
        if heard is not None:
            machine.receive(LINK, heard, now)
        now += 1.0
        machine.wake(now)
        seen += [*machine.output(), *machine.events()]
        _check(machine)
        at = end
    return seen, [(each.peer, each.addresses) for each in machine.peers.values()]


def _check(machine: Mdns) -> None:
    assert len(machine.peers) <= MAX_PEERS
    assert machine.deadline() is not None
    for each in machine.peers.values():
        assert each.peer != peer(99), "it heard itself"
        assert 1 <= len(each.said) <= INSTANCES_OF_PEER
        assert len(each.addresses) <= INSTANCES_OF_PEER * STRINGS_READ
