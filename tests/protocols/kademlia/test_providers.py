"""Provider records, and the sweep that announces ours again."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.kademlia import Peer
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import providers
from mesh.protocols.kademlia.providers import ADDRESS_VALIDITY_S, MAX_ADDRESSES, VALIDITY_S, Provider
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.protocols.kademlia.sweep import NEVER, Batch, ReprovideSweep, region_bits

ALICE, BOB, CAROL = (
    PeerId.from_public_key(PrivateKey.from_seed(bytes(31) + bytes([n])).public) for n in (1, 2, 3)
)
NOW = 1_800_000_000.0
KEY = b"\x12\x20" + bytes(32)


def at(port: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}")


def entry(peer: PeerId, *addresses: Multiaddr | bytes) -> Peer:
    return Peer(
        id=peer.to_bytes(), addrs=[each if isinstance(each, bytes) else each.to_bytes() for each in addresses]
    )


def test_only_the_senders_entries_count() -> None:
    found = providers.admit(
        KEY, ALICE, [entry(BOB, at(1)), entry(ALICE, at(2)), entry(ALICE, at(3), at(2))], NOW
    )
    assert found == Provider(ALICE, (at(2), at(3)), NOW)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry(BOB, at(1))],
        [entry(ALICE)],
        [entry(ALICE, b"", b"\xff", bytes(5000))],
        [Peer(id=b"junk", addrs=[at(1).to_bytes()])],
        [entry(ALICE, at(1).encapsulate(f"/p2p/{BOB}"))],
        [entry(ALICE, Multiaddr.parse(f"/p2p/{ALICE}"))],
    ],
)
def test_refusals(entries: list[Peer]) -> None:
    with pytest.raises(InvalidRecordError, match="no entry of the sender"):
        providers.admit(KEY, ALICE, entries, NOW)


@pytest.mark.parametrize("size", [0, 81])
def test_key_sizes(size: int) -> None:
    with pytest.raises(InvalidRecordError, match="provider key"):
        providers.admit(bytes(size), ALICE, [entry(ALICE, at(1))], NOW)


def test_keys_that_fit() -> None:
    for size in (1, 80):
        providers.check_key(bytes(size))


def test_broken_addresses_are_skipped() -> None:
    relayed = at(9).encapsulate(f"/p2p/{BOB}/p2p-circuit")
    long = at(8).encapsulate("/dns/" + "x" * 600)
    given_: list[Multiaddr | bytes] = [
        b"\xff",
        at(1).encapsulate(f"/p2p/{ALICE}"),
        b"",
        at(2).to_bytes()[:-1],
        at(3),
        relayed,
        long,
    ]
    found = providers.admit(KEY, ALICE, [entry(ALICE, *given_)], NOW)
    assert found.addresses == (at(1), at(3), relayed)
    assert providers.usable_addresses([relayed.encapsulate(f"/p2p/{ALICE}").to_bytes()], ALICE) == (relayed,)


def test_addresses_are_capped() -> None:
    found = providers.usable_addresses([at(port).to_bytes() for port in range(1, 100)], ALICE)
    assert found == tuple(at(port) for port in range(1, MAX_ADDRESSES + 1))


def test_what_is_served() -> None:
    old = Provider(ALICE, (at(1),), NOW - ADDRESS_VALIDITY_S - 1)
    edge = Provider(BOB, (at(2),), NOW - ADDRESS_VALIDITY_S)
    gone = Provider(CAROL, (at(3),), NOW - VALIDITY_S - 1)
    assert providers.served([gone, old, edge], NOW, 10) == (edge, Provider(ALICE, (), old.received))
    assert providers.served([old, edge], NOW, 1) == (edge,)
    assert not providers.expired(NOW - VALIDITY_S, NOW)
    assert providers.expired(NOW + VALIDITY_S + 1, NOW)
    assert providers.republish_at(NOW) == NOW + 22 * 3600


# -- the sweep -------------------------------------------------------------------------------------------------------

DAY = 86400.0


def keys(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(34) for _ in range(count)]


def place(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def drain(sweep: ReprovideSweep, now: float, max_keys: int = 4096) -> list[Batch]:
    found = []
    while batch := sweep.take(now, max_keys):
        found.append(batch)
    return found


def test_new_keys_go_at_once_by_region() -> None:
    sweep = ReprovideSweep(DAY, bits=3)
    given_ = keys(100)
    for key in given_:
        sweep.add(key)
    assert len(sweep) == 100
    assert given_[0] in sweep
    assert sweep.deadline() == NEVER
    batches = drain(sweep, NOW)
    assert [batch.region for batch in batches] == list(range(8))
    assert [key for batch in batches for key in batch.keys] == sorted(given_, key=place)
    assert all(
        place(key)[0] >> 5 == batch.region and batch.bits == 3 for batch in batches for key in batch.keys
    )
    assert sweep.take(NOW) is None
    deadline = sweep.deadline()
    assert deadline is not None
    assert NOW < deadline <= NOW + DAY


def test_every_key_once_in_an_interval_and_evenly() -> None:
    sweep = ReprovideSweep(DAY, bits=6)
    given_ = keys(2000)
    for key in given_:
        sweep.add(key, NOW)
    seen: list[bytes] = []
    moments = []
    while (at_ := sweep.deadline()) is not None and at_ <= NOW + DAY:
        batch = sweep.take(at_)
        assert batch is not None
        moments.append(at_)
        seen += batch.keys
    assert sorted(seen) == sorted(given_)
    assert len(moments) == 64
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert max(gaps) == pytest.approx(DAY / 64)
    assert min(gaps) == pytest.approx(DAY / 64)


def test_a_restart_keeps_the_moments() -> None:
    first, second = ReprovideSweep(DAY, bits=4), ReprovideSweep(DAY, bits=4)
    for key in keys(50):
        first.add(key, NOW)
        second.add(key, NOW + 1)
    assert first.deadline() == second.deadline()


def test_what_was_missed_is_overdue() -> None:
    sweep = ReprovideSweep(DAY, bits=2)
    given_ = keys(40)
    for key in given_:
        sweep.add(key, NOW - 3 * DAY)
    assert sum(len(batch.keys) for batch in drain(sweep, NOW)) == 40
    assert drain(sweep, NOW) == []


def test_a_failure_is_retried_and_a_removal_is_not() -> None:
    sweep = ReprovideSweep(DAY)
    given_ = keys(3)
    for key in given_:
        sweep.add(key)
    batch = sweep.take(NOW)
    assert batch is not None
    sweep.remove(given_[0])
    sweep.remove(b"unknown")
    sweep.retry(batch)
    again = sweep.take(NOW)
    assert again is not None
    assert sorted(again.keys) == sorted(given_[1:])
    for key in given_[1:]:
        sweep.remove(key)
    assert sweep.deadline() is None
    assert sweep.take(NOW + 9 * DAY) is None


def test_large_regions_come_in_parts() -> None:
    sweep = ReprovideSweep(DAY)
    for key in keys(250):
        sweep.add(key)
    assert [len(batch.keys) for batch in drain(sweep, NOW, 100)] == [100, 100, 50]


def test_an_announcement_meanwhile_puts_off_the_next() -> None:
    sweep = ReprovideSweep(DAY)
    key = keys(1)[0]
    sweep.add(key)
    sweep.add(key, NOW)
    assert sweep.take(NOW) is None
    deadline = sweep.deadline()
    assert deadline is not None
    assert deadline > NOW


def test_resizing_loses_nothing() -> None:
    sweep = ReprovideSweep(DAY, bits=1)
    given_ = keys(60)
    for key in given_[:30]:
        sweep.add(key, NOW)
    for key in given_[30:]:
        sweep.add(key)
    sweep.resize(8)
    assert sweep.bits == 8
    assert sum(len(batch.keys) for batch in drain(sweep, NOW)) == 30
    assert sum(len(batch.keys) for batch in drain(sweep, NOW + DAY)) == 60


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1e10)), max_size=30),
    st.integers(0, 24),
    st.floats(1, 1e6),
)
def test_it_always_ends_and_never_skips(plan: list[tuple[int, float]], bits: int, interval: float) -> None:
    sweep = ReprovideSweep(interval, bits)
    wanted = {}
    for number, announced in plan:
        sweep.add(bytes([number]), announced)
        wanted[bytes([number])] = announced
    end = max(wanted.values(), default=0.0) + interval * 1.01 + 1
    assert sorted(key for batch in drain(sweep, end) for key in batch.keys) == sorted(wanted)


def test_misuse() -> None:
    for interval, bits in ((0.0, 0), (float("nan"), 0), (DAY, -1), (DAY, 25)):
        with pytest.raises(UsageError):
            ReprovideSweep(interval, bits)
    for announced in (float("inf"), float("nan")):
        with pytest.raises(UsageError):
            ReprovideSweep().add(b"key", announced)


def test_region_sizes() -> None:
    assert [region_bits(count) for count in (0, 1, 39, 40, 80, 10_000, 10**12)] == [0, 0, 0, 1, 2, 8, 24]


def test_broken_addresses_without_end_are_not_read() -> None:
    peer = PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public)
    good = Multiaddr.parse("/ip4/192.0.2.1/tcp/1")
    data = iter([*[b"\x04\x7f"] * (providers.MAX_EXAMINED - 1), good.to_bytes(), *[b"\x04\x7f"] * 1_000_000])
    assert providers.usable_addresses(data, peer) == (good,)
    assert sum(1 for _ in data) == 1_000_000
