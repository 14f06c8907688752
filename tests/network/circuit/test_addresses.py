"""Addresses that lead through relays, and what the dialer makes of them."""

from __future__ import annotations

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit.addresses import CIRCUIT, circuit_address, is_relayed, split_circuit
from mesh.network.circuit.allowance import Allowance
from mesh.network.circuit.transport import CircuitTransport
from mesh.network.dialer import _place
from mesh.network.resolver import Resolver
from mesh.protocols.relay import Limit
from mesh.telemetry.counters import Counters

RELAY, TARGET, OTHER = (PeerId.from_public_key(PrivateKey.generate().public) for _ in range(3))
FRONT = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001")


@pytest.mark.parametrize(
    ("text", "front"),
    [
        (f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit", "/ip4/192.0.2.7/tcp/4001"),
        (f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{TARGET}", "/ip4/192.0.2.7/tcp/4001"),
        (f"/dns4/relay.example/tcp/443/wss/p2p/{RELAY}/p2p-circuit", "/dns4/relay.example/tcp/443/wss"),
        (f"/p2p/{RELAY}/p2p-circuit/p2p/{TARGET}", ""),
    ],
    ids=["to anybody", "to a target", "by name", "by id alone"],
)
def test_the_relay_of_an_address(text: str, front: str) -> None:
    address = Multiaddr.parse(text)
    found = split_circuit(address)
    assert found is not None
    assert (found[0], str(found[1])) == (RELAY, front)
    assert CircuitTransport(Counters()).handles(address)
    if front:
        assert circuit_address(*found) == address.without_peer()


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}",
        "/ip4/192.0.2.7/tcp/4001/p2p-circuit",
        f"/ip4/192.0.2.7/tcp/4001/p2p-circuit/p2p/{TARGET}",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{OTHER}/p2p-circuit/p2p/{TARGET}",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit/ip4/192.0.2.8/tcp/1",
    ],
    ids=["direct", "no relay", "no relay, but a target", "two relays", "an address behind it"],
)
def test_what_leads_through_no_relay_or_several(text: str) -> None:
    assert split_circuit(Multiaddr.parse(text)) is None
    assert not CircuitTransport(Counters()).handles(Multiaddr.parse(text))


def test_the_listening_address_is_the_transports_but_leads_nowhere() -> None:
    assert CircuitTransport(Counters()).handles(CIRCUIT)
    assert split_circuit(CIRCUIT) is None
    assert is_relayed(CIRCUIT)


async def test_names_of_relays_are_left_to_the_dial_of_the_relay() -> None:
    address = Multiaddr.parse(f"/dnsaddr/relay.invalid/p2p/{RELAY}/p2p-circuit/p2p/{TARGET}")
    assert await Resolver().resolve(address, TARGET) == [address.without_peer()]


def test_a_peer_that_failed_behind_a_relay_holds_up_no_other_there() -> None:
    address = circuit_address(RELAY, FRONT)
    assert _place(TARGET, address) != _place(OTHER, address)
    assert _place(TARGET, FRONT) == _place(OTHER, FRONT) == FRONT


def test_an_allowance_is_used_up() -> None:
    allowance = Allowance(Limit(120, 1000), 50.0)
    allowance.sent_bytes, allowance.received_bytes = 400, 1200
    assert allowance.remaining_s(100.0) == 70.0
    assert allowance.remaining_s(1000.0) == 0.0
    assert allowance.remaining_send_bytes == 600
    assert allowance.remaining_receive_bytes == 0
    free = Allowance(Limit(0, 0), 50.0)
    assert free.remaining_s(100.0) is None
    assert free.remaining_send_bytes is None
    assert free.remaining_receive_bytes is None
