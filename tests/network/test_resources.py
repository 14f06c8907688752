"""Resource scopes: what counts where, what is refused with which words, and that everything is given back."""

from __future__ import annotations

import timeit
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import ConfigError, LimitError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.resource_limits import GIB, MIB, UNLIMITED, Limits, scaled_limits, unlimited
from mesh.network.resource_usage import Standing
from mesh.network.resources import ConnectionScope, Resources, StreamScope
from mesh.network.source_limits import MAX_NETWORKS

PING = "/ipfs/ping/1.0.0"


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(PrivateKey.from_seed(number.to_bytes(32, "big")).public)


ALICE, BOB = peer(1), peer(2)


def used(resources: Resources) -> dict[str, tuple[int, ...]]:
    def figures(standing: Standing) -> tuple[int, ...]:
        conns = (standing.conns_inbound, standing.conns_outbound)
        streams = (standing.streams_inbound, standing.streams_outbound)
        return (*conns, *streams, standing.memory_bytes, standing.descriptors)

    found = {name: figures(standing) for name, standing in resources.snapshot(peers=True).items()}
    return {name: each for name, each in found.items() if any(each)}


def limited(**settings: object) -> Resources:
    return Resources(
        unlimited().with_settings({f"limits.{k.replace('__', '.')}": v for k, v in settings.items()})
    )


def connect(resources: Resources, who: PeerId = ALICE, *, inbound: bool = True) -> ConnectionScope:
    scope = resources.open_connection(inbound, None, 0.0)
    scope.set_peer(who)
    return scope


def test_base_and_scaled_limits() -> None:
    base = scaled_limits(GIB, 512)
    assert base.of("system").conns_inbound == 64
    assert base.of("system").memory_bytes == 128 * MIB
    assert base.of("system").descriptors == 256
    grown = scaled_limits(8 * GIB, 4096)
    assert (grown.of("system").conns_inbound, grown.of("system").conns) == (128, 256)
    assert grown.of("system").memory_bytes == 128 * MIB + GIB
    assert grown.of("system").descriptors == 2048
    assert grown.of("transient").descriptors == 512
    assert grown.of("peer").descriptors == 32
    assert grown.of("protocol_peer", PING).streams == 4
    assert grown.of("protocol_peer", "/other/1").streams == 272


def test_settings_and_their_keys() -> None:
    limits = scaled_limits(GIB, 512).with_settings(
        {
            "limits.system.conns_inbound": 7,
            "limits.protocol_peer./ipfs/ping/1.0.0.streams": 9,
            f"limits.peer.{ALICE}.conns": "unlimited",
            "limits.source.conns_ipv4": 3,
        }
    )
    assert limits.of("system").conns_inbound == 7
    assert limits.of("protocol_peer", PING).streams == 9
    assert limits.of("protocol_peer", PING).streams_inbound == 2
    assert limits.of("peer", str(ALICE)).conns == UNLIMITED
    assert limits.source.conns_ipv4 == 3
    assert limits.key("protocol_peer", PING, "streams") == "limits.protocol_peer./ipfs/ping/1.0.0.streams"
    assert limits.key("peer", str(BOB), "conns") == "limits.peer.conns"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("limits.systen.conns", 1, "did you mean system"),
        ("limits.system.con", 1, "did you mean conns"),
        ("limits.system.x.conns", 1, "no names"),
        ("limits.peer.conns", -1, "not a number from 0"),
        ("limits.peer.conns", True, "not a number from 0"),
        ("limits.peer.conns", 1.5, "not a number from 0"),
        ("network.peer.conns", 1, "limits.<scope>.<field>"),
    ],
)
def test_wrong_settings(key: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        unlimited().with_settings({key: value})
    assert str(caught.value).startswith(key)


def test_a_life() -> None:
    resources = Resources(scaled_limits(GIB, 512))
    scope = resources.open_connection(True, "192.0.2.1", 0.0)
    assert used(resources) == {"system": (1, 0, 0, 0, 0, 1), "transient": (1, 0, 0, 0, 0, 1)}
    scope.set_peer(ALICE)
    stream = scope.open_stream(inbound=False)
    assert used(resources) == {
        "system": (1, 0, 0, 1, 0, 1),
        "transient": (0, 0, 0, 1, 0, 0),
        f"peer:{ALICE}": (1, 0, 0, 1, 0, 1),
    }
    stream.reserve_memory(100)
    stream.set_protocol(PING)
    assert used(resources) == {
        "system": (1, 0, 0, 1, 100, 1),
        f"protocol:{PING}": (0, 0, 0, 1, 100, 0),
        f"peer:{ALICE}": (1, 0, 0, 1, 100, 1),
    }
    scope.close()
    scope.close()
    assert used(resources)[f"peer:{ALICE}"] == (0, 0, 0, 1, 100, 0)
    stream.close()
    stream.close()
    assert used(resources) == {}
    assert resources.snapshot(peers=True).keys() == {"system", "transient", f"protocol:{PING}"}
    assert resources.sources.networks == 0


def test_order_of_calls() -> None:
    resources = Resources(unlimited())
    scope = resources.open_connection(True, None, 0.0)
    with pytest.raises(UsageError, match="between set_peer and close"):
        scope.open_stream(True)
    scope.set_peer(ALICE)
    with pytest.raises(UsageError, match="already"):
        scope.set_peer(BOB)
    stream = scope.open_stream(True)
    stream.set_protocol(PING)
    with pytest.raises(UsageError, match="already"):
        stream.set_protocol(PING)
    stream.close()
    stream.set_protocol(PING)
    scope.close()
    assert used(resources) == {}


def test_refused_connections_say_which_limit() -> None:
    resources = limited(system__conns=3, transient__conns_inbound=1, peer__conns=1)
    first = resources.open_connection(True, None, 0.0)
    with pytest.raises(LimitError) as caught:
        resources.open_connection(True, None, 0.0)
    error = caught.value
    assert (error.scope, error.limit, error.value, error.key) == (
        "transient",
        "conns_inbound",
        1,
        "limits.transient.conns_inbound",
    )
    first.set_peer(ALICE)
    second = resources.open_connection(True, None, 0.0)
    with pytest.raises(LimitError, match=f"peer {ALICE}: conns is limited to 1"):
        second.set_peer(ALICE)
    third = resources.open_connection(False, None, 0.0)
    with pytest.raises(LimitError, match="system: conns is limited to 3"):
        resources.open_connection(False, None, 0.0)
    for each in (first, second, third):
        each.close()
    assert used(resources) == {}
    assert resources.refusals == {
        ("transient", "conns_inbound"): 1,
        ("peer", "conns"): 1,
        ("system", "conns"): 1,
    }


@pytest.mark.parametrize("scope", ["system", "transient", "peer", "protocol", "protocol_peer"])
@pytest.mark.parametrize("field", ["streams", "streams_inbound"])
def test_refused_streams_leave_nothing(scope: str, field: str) -> None:
    resources = limited(**{f"{scope}__{field}": 1})
    connection = connect(resources)
    first = connection.open_stream(True)
    if scope != "transient":
        first.set_protocol(PING)
    second = connection.open_stream(True) if scope.startswith("protocol") else None
    before = used(resources)
    with pytest.raises(LimitError) as caught:
        second.set_protocol(PING) if second else connection.open_stream(True)
    assert caught.value.key == f"limits.{scope}.{field}"
    assert used(resources) == before
    assert resources.refusals == {(scope, field): 1}


def test_ping_allows_two_inbound_streams_a_peer() -> None:
    resources = Resources(scaled_limits(GIB, 512))
    for who in (ALICE, BOB):
        connection = connect(resources, who)
        for _ in range(2):
            connection.open_stream(True).set_protocol(PING)
        with pytest.raises(LimitError, match=f"protocol_peer {PING}: streams_inbound is limited to 2"):
            connection.open_stream(True).set_protocol(PING)


@pytest.mark.parametrize("scope", ["system", "peer", "connection"])
def test_memory_of_connections(scope: str) -> None:
    resources = limited(**{f"{scope}__memory_bytes": 100})
    connection = connect(resources)
    connection.reserve_memory(60)
    before = used(resources)
    with pytest.raises(LimitError, match="memory_bytes is limited to 100"):
        connection.reserve_memory(41)
    assert used(resources) == before
    connection.release_memory(20)
    connection.reserve_memory(60)
    connection.close()
    assert used(resources) == {}


def test_memory_moves_with_its_owner() -> None:
    resources = limited(peer__memory_bytes=10, protocol__memory_bytes=10)
    connection = resources.open_connection(True, None, 0.0)
    connection.reserve_memory(11)
    with pytest.raises(LimitError, match="peer"):
        connection.set_peer(ALICE)
    connection.release_memory(11)
    connection.set_peer(ALICE)
    stream = connection.open_stream(True)
    stream.reserve_memory(10)
    other = connect(resources, BOB).open_stream(True)
    other.reserve_memory(1)
    stream.set_protocol(PING)
    with pytest.raises(LimitError, match="protocol"):
        other.set_protocol(PING)
    assert used(resources)["transient"] == (0, 0, 1, 0, 1, 0)


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_eight_connections_of_an_ipv4_address(address: str) -> None:
    resources = Resources(scaled_limits(64 * GIB, 65536))
    held = [resources.open_connection(False, "192.0.2.7", 0.0) for _ in range(8)]
    with pytest.raises(LimitError, match=r"source\.conns_ipv4 in limits\.overrides"):
        resources.open_connection(False, address, 0.0)
    resources.open_connection(False, "192.0.2.8", 0.0)
    held[0].close()
    resources.open_connection(False, address, 0.0)
    assert resources.refusals == {("source", "conns_ipv4"): 1}


def test_ipv6_counts_by_56_and_48_bits() -> None:
    resources = Resources(scaled_limits(64 * GIB, 65536))
    for subnet in range(8):
        for host in range(8):
            resources.open_connection(False, f"2001:db8:1:{subnet:x}00::{host:x}", 0.0)
    with pytest.raises(LimitError, match="conns_ipv6_56"):
        resources.open_connection(False, "2001:db8:1:1ff::1", 0.0)
    with pytest.raises(LimitError, match="conns_ipv6_48"):
        resources.open_connection(False, "2001:db8:1:ff00::1", 0.0)
    resources.open_connection(False, "2001:db8:2::1", 0.0)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", None])
def test_loopback_is_free(address: str | None) -> None:
    resources = Resources(
        unlimited().with_settings({"limits.source.conns_ipv4": 0, "limits.source.burst_ipv4": 0})
    )
    for _ in range(50):
        resources.open_connection(True, address, 0.0)


def test_rate_of_new_connections() -> None:
    resources = Resources(scaled_limits(GIB, 512))

    def attempts(now: float, count: int, address: str = "198.51.100.1") -> int:
        passed = 0
        for _ in range(count):
            try:
                resources.open_connection(True, address, now).close()
            except LimitError as error:
                assert error.key == "limits.source.burst_ipv4"  # noqa: PT017
            else:
                passed += 1
        return passed

    assert attempts(100.0, 20) == 16
    assert attempts(104.9, 5) == 0
    assert attempts(105.0, 5) == 1
    assert attempts(115.0, 5) == 2
    assert attempts(115.0, 20, "198.51.100.2") == 16
    assert attempts(1000.0, 20) == 16


def test_outbound_connections_have_no_rate() -> None:
    resources = Resources(scaled_limits(GIB, 512))
    for _ in range(100):
        resources.open_connection(False, "198.51.100.1", 0.0).close()


def test_networks_are_bounded_and_forgotten() -> None:
    resources = Resources(
        unlimited().with_settings({"limits.source.interval_ipv4_s": 5, "limits.source.burst_ipv4": 2})
    )
    table = resources.sources._ipv4.full_at
    for number in range(MAX_NETWORKS + 100):
        octets = ".".join(str(each) for each in (10 + number).to_bytes(4, "big"))
        resources.sources.leave(resources.sources.enter(f"1{octets}", True, 0.0))
    assert len(table) == MAX_NETWORKS
    for number in range(1000):
        resources.sources.enter(f"10.0.{number // 256}.{number % 256}", True, 100.0)
    assert len(table) < MAX_NETWORKS - 900


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_everything_is_given_back(data: st.DataObject) -> None:
    names = [
        f"limits.{scope}.{field}"
        for scope in ("system", "transient", "peer")
        for field in ("conns", "streams")
    ]
    names += ["limits.protocol.streams", "limits.protocol_peer.streams", "limits.system.memory_bytes"]
    chosen = data.draw(st.dictionaries(st.sampled_from(names), st.integers(0, 5)))
    resources = Resources(Limits({}).with_settings(chosen))
    connections: list[ConnectionScope] = []
    streams: list[StreamScope] = []
    steps = data.draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.booleans()), max_size=60))
    for action, index, inbound in steps:
        link = connections[index % len(connections)] if connections else None
        flow = streams[index % len(streams)] if streams else None
        try:
            if action == 0:
                connections.append(resources.open_connection(inbound, "192.0.2.1", float(index)))
            elif action == 1 and link:
                link.set_peer((ALICE, BOB)[index % 2])
            elif action == 2 and link:
                streams.append(link.open_stream(inbound))
            elif action == 3 and flow:
                flow.set_protocol(("/a", "/b")[index % 2])
            elif action == 4 and flow and not flow._closed:
                flow.reserve_memory(index)
            elif action == 5 and flow:
                flow.close()
            elif action == 6 and link:
                link.close()
        except (LimitError, UsageError):
            continue
    for connection in connections:
        connection.close()
    for stream in streams:
        stream.close()
    assert used(resources) == {}
    assert resources.sources.networks == 0
    assert not any(usage.by_peer for usage in resources.protocols.values())


def test_cost() -> None:
    """Generous bounds: a stream's scopes take 1.6 us here, an idle connection's 285 bytes."""
    resources = Resources(unlimited())
    connection = connect(resources)

    def one() -> None:
        stream = connection.open_stream(True)
        stream.set_protocol(PING)
        stream.close()

    assert min(timeit.repeat(one, number=2000, repeat=5)) / 2000 < 15e-6
    peers = [peer(number) for number in range(2000)]
    held: list[ConnectionScope | None] = [None] * len(peers)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for index, who in enumerate(peers):
            held[index] = connect(resources, who)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(peers) < 300
    finally:
        tracemalloc.stop()
