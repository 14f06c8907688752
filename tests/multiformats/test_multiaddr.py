"""Multiaddrs beyond the recorded cases: operations, positions of errors, hostile input."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import MAX_BYTES, MAX_CHARACTERS, Multiaddr
from mesh.multiformats.multiaddr_table import PROTOCOLS, VARIABLE, Protocol
from tests.vectors import cases, load

ALICE = str(load("actors")["alice"]["peer_id"])
RELAY = str(load("actors")["relay"]["peer_id"])
KNOWN = [bytes.fromhex(case["bytes"]) for case in cases("multiaddrs") + cases("multiaddrs_published")]
SAMPLES = {
    "ip4": "192.0.2.1",
    "ip6": "2001:db8::1",
    "ip6zone": "eth0",
    "unix": "/a/b",
    "p2p": ALICE,
    "onion": "aaimaq4ygg2iegci:80",
    "onion3": "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
    "garlic64": "A" * 516,
    "garlic32": "566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq",
    "certhash": "uEiAGKYQy6AZrKeIiO8wjqpUEtWrlCPq_NDVQiGm5wxkOIg",
    "http-path": "a%2Fb+c%7E%ff",
}


def sample(protocol: Protocol) -> str:
    if protocol.size == 0:
        return f"/{protocol.name}"
    if protocol.name == "unix":
        return "/unix/a/b"
    return f"/{protocol.name}/{SAMPLES.get(protocol.name, '80')}"


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_every_protocol_in_both_forms(protocol: Protocol) -> None:
    address = Multiaddr.parse(sample(protocol))
    again = Multiaddr.from_bytes(address.to_bytes())
    assert again == address
    assert Multiaddr.parse(str(again)) == address
    (component,) = again.components
    assert (component.code, component.name) == (protocol.code, protocol.name)
    assert str(protocol.code) in repr(protocol)
    assert len(component.value) == protocol.size or protocol.size == VARIABLE


@given(st.lists(st.sampled_from([p for p in PROTOCOLS if p.name != "unix"]), min_size=1, max_size=8))
def test_chains_round_trip(chain: list[Protocol]) -> None:
    address = Multiaddr.parse("".join(map(sample, chain)))
    assert Multiaddr.from_bytes(address.to_bytes()) == address
    assert Multiaddr.parse(str(address)) == address
    assert [each.name for each in address.components] == [each.name for each in chain]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(KNOWN)))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@given(st.binary(max_size=60) | damaged())
@settings(max_examples=400)
def test_hostile_bytes_are_refused_or_have_both_forms(data: bytes) -> None:
    try:
        address = Multiaddr.from_bytes(data)
    except DecodeError:
        return
    assert address.to_bytes() == data
    assert Multiaddr.parse(str(address)) == address


WORDS = st.sampled_from([p.name for p in PROTOCOLS]) | st.sampled_from(sorted(SAMPLES.values()))


@given(
    st.text(max_size=60) | st.lists(WORDS | st.text(max_size=8), max_size=6).map("/".join).map("/{}".format)
)
@settings(max_examples=400)
def test_hostile_text_is_refused_or_canonical(text: str) -> None:
    try:
        address = Multiaddr.parse(text)
    except DecodeError:
        return
    assert Multiaddr.from_bytes(address.to_bytes()) == address
    assert str(Multiaddr.parse(str(address))) == str(address)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("ip4/1.2.3.4", 0),
        ("/", 0),
        ("//tcp/1", 1),
        ("/ip4/1.2.3.4/nosuch/1", 13),
        ("/ip4/1.2.3.4/tcp/65536", 17),
        ("/ip4/1.2.3.4/quic-v1/1", 21),
        ("/ip4/1.2.3.4/tcp", 16),
        ("/unix/a\ud800", 6),
        ("/dns/a\x1bb", 5),
        ("/ip6/fe80::1%eth0", 5),
        ("/ip4/::1", 5),
        ("/http-path/%2", 11),
        ("/onion/aaimaq4ygg2iegci:0", 7),
        ("/onion/aaimaq4ygg2iegci", 7),
        ("/onion/aaaaaaaa:80", 7),
        ("/garlic32/aaaa", 10),
        ("/garlic32/" + SAMPLES["garlic32"].upper(), 10),
        ("/garlic64/AAAA", 10),
        ("/certhash/f", 10),
        ("/certhash/" + "f" * 70_000, None),
        ("/tcp/" + "9" * 5000, 5),
    ],
)
def test_position_in_text(text: str, offset: int | None) -> None:
    with pytest.raises(Malformed) as raised:
        Multiaddr.parse(text)
    assert raised.value.offset == offset


@pytest.mark.parametrize(
    ("data", "kind", "offset"),
    [
        ("047f000001060f", Truncated, 5),
        ("047f0000017f", Malformed, 5),
        ("047f000001a503020102", Truncated, 5),
        ("35021b61", Malformed, 0),
        ("9003022f2f", Malformed, 0),
        ("90030161", Malformed, 0),
        ("bc030010c0439831b48218480000", Malformed, 0),
        ("3502ff61", Malformed, 0),
        ("350361", Truncated, 0),
        ("047f00000191", Truncated, 5),
        ("9003022f61060050", Malformed, 5),
        ("a5031611140000000000000000000000000000000000000000", Malformed, 0),
        ("a503020000", Malformed, 0),
        ("35808000", Malformed, 1),
    ],
)
def test_position_in_bytes(data: str, kind: type[DecodeError], offset: int) -> None:
    with pytest.raises(DecodeError) as raised:
        Multiaddr.from_bytes(bytes.fromhex(data))
    assert raised.value.offset == offset
    assert isinstance(raised.value, kind) or "p2p" in raised.value.field


def test_lengths_are_bounded() -> None:
    for longest in (
        b"\x94\x02" * (MAX_BYTES // 2),
        b"\xe1\x03" + varint.encode(MAX_BYTES - 4) + b"/" * (MAX_BYTES - 4),
    ):
        address = Multiaddr.from_bytes(longest)
        assert Multiaddr.parse(str(address)) == address
    for text in ("/dns/" + "a" * MAX_CHARACTERS, "/dns/" + "a" * MAX_BYTES, "/" * (MAX_CHARACTERS + 1)):
        with pytest.raises(Malformed, match="longer"):
            Multiaddr.parse(text)
    with pytest.raises(Malformed, match="longer"):
        Multiaddr.from_bytes(b"\xe0\x03" * (MAX_BYTES // 2 + 1))
    full = Multiaddr.from_bytes(b"\xe0\x03" * (MAX_BYTES // 2))
    with pytest.raises(Malformed, match="longer"):
        full / "/tls"


def test_odd_spellings_go_accepts() -> None:
    assert str(Multiaddr.parse("/ip4/::ffff:1.2.3.4/tcp/0080")) == "/ip4/1.2.3.4/tcp/80"
    assert str(Multiaddr.parse("/ip6/0:0:0:1:0:0:0:0")) == "/ip6/0:0:0:1::"
    assert str(Multiaddr.parse("/http-path/a+b%2fc")) == "/http-path/a+b%2Fc"
    certhash = Multiaddr.parse(f"/certhash/{SAMPLES['certhash']}")
    assert Multiaddr.parse(f"/certhash/f{certhash.components[0].value.hex()}") == certhash


def test_values() -> None:
    address = Multiaddr.parse(f"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{RELAY}/p2p-circuit/p2p/{ALICE}")
    assert address.value("ip4") == "192.0.2.1"
    assert address.value("udp") == "4001"
    assert address.value("quic-v1") == ""
    assert address.value("tcp") is None
    assert address.value("p2p") == RELAY
    assert address.has("p2p-circuit")
    assert not address.has("ws")
    assert [each.text for each in address.components][:2] == ["192.0.2.1", "4001"]


def test_peer_at_the_end() -> None:
    relayed = Multiaddr.parse(f"/ip4/192.0.2.1/tcp/1/p2p/{RELAY}/p2p-circuit")
    target = relayed / f"/p2p/{ALICE}"
    assert target.peer_id_bytes() == Multiaddr.parse(f"/p2p/{ALICE}").components[0].value
    assert relayed.peer_id_bytes() is None
    assert relayed.decapsulate("p2p-circuit").peer_id_bytes() is not None
    assert Multiaddr.parse("/tcp/1").peer_id_bytes() is None
    assert target.without_peer() == relayed
    assert relayed.without_peer() is relayed
    assert not Multiaddr.parse(f"/p2p/{ALICE}").without_peer()


def test_encapsulation() -> None:
    tcp = Multiaddr.parse("/ip4/192.0.2.1/tcp/1")
    assert str(tcp / "/ws") == "/ip4/192.0.2.1/tcp/1/ws"
    assert tcp.encapsulate(Multiaddr.parse("/ws")) == tcp / "/ws"
    twice = tcp / "/tls" / "/ws" / "/tls"
    assert twice.decapsulate("tls") == tcp / "/tls" / "/ws"
    assert twice.decapsulate("ws") == tcp / "/tls"
    assert twice.decapsulate("udp") is twice
    assert Multiaddr.from_bytes((tcp / "/tls").to_bytes()) == tcp / "/tls"
    with pytest.raises(UsageError):
        Multiaddr.parse("/unix/a") / "/tls"
    with pytest.raises(Malformed):
        tcp / "tls"


def test_empty() -> None:
    empty = Multiaddr.parse("/tls").decapsulate("tls")
    assert (bool(empty), str(empty), empty.to_bytes(), empty.components) == (False, "", b"", ())
    assert empty / "/ws" == Multiaddr.parse("/ws")
    assert pickle.loads(pickle.dumps(empty)) == empty
    assert empty.without_peer() is empty


def test_endpoints() -> None:
    assert str(Multiaddr.from_tcp("192.0.2.1", 80)) == "/ip4/192.0.2.1/tcp/80"
    assert str(Multiaddr.from_udp("2001:db8::1", 80)) == "/ip6/2001:db8::1/udp/80"
    assert str(Multiaddr.from_tcp("fe80::1%eth0", 0)) == "/ip6zone/eth0/ip6/fe80::1/tcp/0"
    assert Multiaddr.from_tcp("192.0.2.1", 80) == Multiaddr.parse("/ip4/192.0.2.1/tcp/80")
    for host, port in (
        ("example.com", 1),
        ("192.0.2.1", 65536),
        ("192.0.2.1", -1),
        ("fe80::1%a/b", 1),
        ("", 1),
    ):
        with pytest.raises(UsageError):
            Multiaddr.from_tcp(host, port)


def test_multiaddr_is_a_value() -> None:
    one, two = Multiaddr.parse("/tcp/1"), Multiaddr.parse("/tcp/2")
    assert sorted([two, one]) == [one, two]
    assert len({one, Multiaddr.from_bytes(one.to_bytes()), two}) == 2
    assert one != "/tcp/1"
    assert repr(one) == "Multiaddr('/tcp/1')"
    assert pickle.loads(pickle.dumps(one)) == one
    assert Multiaddr.from_bytes(memoryview(bytearray(one.to_bytes()))) == one  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        one.components = ()  # type: ignore[misc]
