"""What a server dials, what it asks for it, and how much of it there is; and the nonces of a client."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.autonat.choice import (
    MAX_DATA_BYTES,
    MIN_DATA_BYTES,
    V1_MOST,
    V2_MOST,
    Chosen,
    candidates_v1,
    choose_v2,
    price_bytes,
)
from mesh.protocols.autonat.limits import (
    V1_PER_PEER,
    V1_PER_WINDOW,
    V2_AT_ONCE_PER_PEER,
    V2_PER_MINUTE,
    V2_PER_PEER,
    V2_WITH_DATA,
    WINDOW_S,
    RollingLimits,
    WindowLimits,
)
from mesh.protocols.autonat.nonces import MAX_NONCES, Nonces, is_expected

ASKER = Multiaddr.parse("/ip4/11.3.1.2/tcp/50001")
RELAY = "/p2p/12D3KooWEZXjE41uU4EL2gpkAQeDXYok6wghN7wwNVPF5bwkaNfS"


def encoded(*texts: str) -> list[bytes]:
    return [Multiaddr.parse(text).to_bytes() for text in texts]


def anything(_address: Multiaddr) -> bool:
    return True


def v1(*texts: str, observed: Multiaddr = ASKER) -> list[str]:
    return [str(each) for each in candidates_v1(observed, encoded(*texts), anything)]


def test_version_1_dials_only_the_host_that_asks() -> None:
    found = v1("/ip4/11.9.9.9/tcp/4001", "/ip4/11.3.1.2/udp/4001/quic-v1", "/dns4/victim.example/tcp/80")
    assert found == [
        "/ip4/11.3.1.2/tcp/50001",
        "/ip4/11.3.1.2/tcp/4001",
        "/ip4/11.3.1.2/udp/4001/quic-v1",
        "/ip4/11.3.1.2/tcp/80",
    ]


def test_version_1_refuses_relayed_and_private_askers() -> None:
    assert v1("/ip4/11.3.1.2/tcp/1", observed=Multiaddr.parse("/ip4/192.168.0.2/tcp/1")) == []
    assert v1("/ip4/11.3.1.2/tcp/1", observed=Multiaddr.parse(f"{ASKER}{RELAY}/p2p-circuit")) == []
    assert v1("/ip4/11.3.1.2/tcp/1", observed=Multiaddr.parse("/dns4/a.example/tcp/1")) == []
    assert v1(f"/ip4/11.3.1.2/tcp/1{RELAY}/p2p-circuit") == [str(ASKER)]
    private = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")
    assert candidates_v1(private, [], anything, anywhere=True) == [private]


def test_version_1_takes_sixteen_and_skips_what_is_broken() -> None:
    many = encoded(*(f"/ip4/11.3.1.2/tcp/{port}" for port in range(1, 60)))
    assert len(candidates_v1(ASKER, [b"\xff", b"", *many], anything)) == V1_MOST
    assert candidates_v1(ASKER, many, lambda _address: False) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from(encoded("/ip4/11.9.9.9/tcp/1", "/ip6/::1/tcp/2"))))
def test_whatever_is_named_no_other_host_is_dialled(addresses: list[bytes]) -> None:
    for each in candidates_v1(ASKER, addresses, anything):
        assert each.components[0].text == "11.3.1.2"
    chosen = choose_v2(ASKER, addresses, anything)
    assert chosen is None or chosen.priced == (chosen.address.components[0] != ASKER.components[0])


def v2(*texts: str, observed: Multiaddr = ASKER) -> Chosen | None:
    return choose_v2(observed, encoded(*texts), anything)


def test_version_2_dials_the_first_public_address() -> None:
    own = "/ip4/11.3.1.2/tcp/4001"
    assert v2("/ip4/192.168.0.1/tcp/1", own) == Chosen(1, Multiaddr.parse(own), priced=False)
    assert v2(f"{own}{RELAY}/p2p-circuit", "/dns4/a.example/tcp/1", own) == Chosen(
        2, Multiaddr.parse(own), priced=False
    )
    assert v2(f"{own}{RELAY}") == Chosen(0, Multiaddr.parse(own), priced=False)
    assert v2() is None
    assert v2("/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1") is None


def test_version_2_asks_a_price_for_other_hosts() -> None:
    assert v2("/ip4/11.9.9.9/tcp/4001") == Chosen(0, Multiaddr.parse("/ip4/11.9.9.9/tcp/4001"), priced=True)
    relayed = Multiaddr.parse(f"{ASKER}{RELAY}/p2p-circuit")
    chosen = v2("/ip4/11.3.1.2/tcp/4001", observed=relayed)
    assert chosen is not None
    assert chosen.priced


def test_version_2_looks_at_fifty_and_at_what_it_can_dial() -> None:
    far = [b"\xff"] * V2_MOST
    assert choose_v2(ASKER, [*far, *encoded(str(ASKER))], anything) is None
    assert choose_v2(ASKER, [*far[1:], *encoded(str(ASKER))], anything) is not None
    assert choose_v2(ASKER, encoded(str(ASKER)), lambda _address: False) is None


@given(st.floats(0, 1, exclude_max=True))
def test_the_price_is_in_bounds(draw: float) -> None:
    assert MIN_DATA_BYTES <= price_bytes(draw) <= MAX_DATA_BYTES


def test_version_1_limits_by_peer_and_in_all() -> None:
    limits = WindowLimits(lambda: 0.5, 0.0)
    assert [limits.accept(b"a", 1.0) for _ in range(V1_PER_PEER + 1)] == [True] * V1_PER_PEER + [False]
    others = [limits.accept(bytes([number]), 1.0) for number in range(60)]
    assert sum(others) == V1_PER_WINDOW - V1_PER_PEER
    assert not limits.accept(b"a", WINDOW_S + 7.4)
    assert limits.accept(b"a", WINDOW_S + 7.5)


def test_version_2_limits_what_is_under_way_and_what_was_lately() -> None:
    limits = RollingLimits()
    taken = [limits.begin(b"a", 0.0) for _ in range(5)]
    assert sum(taken) == V2_AT_ONCE_PER_PEER == limits.running
    for _ in range(V2_AT_ONCE_PER_PEER):
        limits.end(b"a")
    for _ in range(V2_PER_PEER - V2_AT_ONCE_PER_PEER):
        assert limits.begin(b"a", 1.0)
        limits.end(b"a")
    assert not limits.begin(b"a", 59.9)
    assert limits.begin(b"a", 60.0)
    assert limits.running == 1


def test_version_2_limits_all_peers_together_and_data() -> None:
    limits = RollingLimits()
    assert sum(limits.begin(bytes([number]), 0.0) for number in range(100)) == V2_PER_MINUTE
    assert sum(limits.accept_data(0.0) for _ in range(40)) == V2_WITH_DATA
    assert limits.accept_data(WINDOW_S)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 20)), max_size=120))
def test_no_order_of_requests_breaks_a_limit(events: list[tuple[int, bool, float]]) -> None:
    limits, now = RollingLimits(), 0.0
    running = [0, 0, 0, 0]
    begun: list[tuple[float, int]] = []
    for number, ends, pause in events:
        now += pause
        peer = bytes([number])
        if ends and running[number]:
            limits.end(peer)
            running[number] -= 1
        elif not ends and limits.begin(peer, now):
            running[number] += 1
            begun.append((now, number))
        recent = [who for at, who in begun if at > now - WINDOW_S]
        assert len(recent) <= V2_PER_MINUTE
        assert all(recent.count(who) <= V2_PER_PEER for who in range(4))
        assert max(running) <= V2_AT_ONCE_PER_PEER
        assert limits.running == sum(running)


def test_a_nonce_counts_once_and_where_it_was_due() -> None:
    nonces = Nonces()
    issued = nonces.issue(7, [Multiaddr.parse("/ip4/11.3.1.2/tcp/4001")])
    local = Multiaddr.parse("/ip4/192.168.1.4/tcp/4002")
    assert nonces.arrive(8, local) is None
    assert nonces.arrive(7, Multiaddr.parse("/ip4/192.168.1.4/udp/4001/quic-v1")) is None
    assert nonces.arrive(7, local) is issued
    assert issued.arrived == local
    assert nonces.arrive(7, local) is None
    nonces.forget(7)
    assert len(nonces) == 0
    assert nonces.arrive(7, local) is None


def test_nonces_are_bounded() -> None:
    nonces = Nonces()
    for number in range(MAX_NONCES + 3):
        nonces.issue(number, [])
    assert len(nonces) == MAX_NONCES


def test_where_a_dial_back_may_come_in() -> None:
    def expected(local: str, asked: str) -> bool:
        return is_expected(Multiaddr.parse(local), Multiaddr.parse(asked))

    assert expected("/ip4/10.0.0.1/udp/4001/quic-v1", "/ip4/11.3.1.2/udp/50001/quic-v1")
    assert expected("/ip6/::1/tcp/1", "/dns6/a.example/tcp/1")
    assert not expected("/ip6/::1/tcp/1", "/ip4/11.3.1.2/tcp/1")
    assert not expected("/ip4/10.0.0.1/tcp/1", "/ip4/11.3.1.2/tcp/1/ws")
