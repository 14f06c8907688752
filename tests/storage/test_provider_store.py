"""Who provides what: bounds, expiry, restarts, floods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.errors import LimitError, StorageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia.providers import ADDRESS_VALIDITY_S, VALIDITY_S, Provider
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.storage.datastore import Datastore
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.provider_store import PREFIX, ProviderLimits, ProviderStore
from mesh.storage.sqlite_datastore import SqliteDatastore
from tests.storage.test_record_store import Clock, Failing

ALICE, BOB, SELF = (
    PeerId.from_public_key(PrivateKey.from_seed(bytes(31) + bytes([n])).public) for n in (1, 2, 3)
)
LIMITS = ProviderLimits(entries=12, bytes=10_000, peer_entries=4, peer_bytes=3000, key_entries=3)
KEY = b"\x12\x20" + bytes(32)
HOME = (Multiaddr.parse("/ip4/192.0.2.1/tcp/1"), Multiaddr.parse("/ip6/2001:db8::1/udp/2/quic-v1"))


def peer(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def datastore(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Datastore]:
    if request.param == "memory":
        yield MemoryDatastore()
        return
    async with SqliteDatastore(tmp_path / "store.sqlite") as made:
        yield made


@pytest.fixture
async def store(datastore: Datastore, clock: Clock) -> ProviderStore:
    return await opened(datastore, clock)


async def opened(datastore: Datastore, clock: Clock) -> ProviderStore:
    store = ProviderStore(datastore, clock, SELF, LIMITS)
    await store.open()
    return store


async def test_add_and_get(store: ProviderStore, clock: Clock) -> None:
    assert await store.get(KEY) == ()
    first = Provider(ALICE, HOME, clock.now)
    await store.add(KEY, first)
    clock.now += 1
    second = Provider(BOB, HOME[:1], clock.now)
    await store.add(KEY, second)
    await store.add(KEY + b"x", first)
    assert await store.get(KEY) == (second, first)
    assert await store.get(KEY, 1) == (second,)
    again = Provider(ALICE, HOME[1:], clock.now + 1)
    await store.add(KEY, again)
    assert await store.get(KEY) == (again, second)
    assert len(store) == store.strangers.entries == 3
    await store.remove(KEY, ALICE)
    await store.remove(KEY, ALICE)
    assert await store.get(KEY) == (second,)
    assert store.keys_of(ALICE) == [(KEY + b"x", first.received)]


async def test_a_key_that_begins_with_another(store: ProviderStore, clock: Clock) -> None:
    await store.add(b"a", Provider(ALICE, HOME, clock.now))
    await store.add(b"ab", Provider(BOB, HOME, clock.now))
    assert [each.peer for each in await store.get(b"a")] == [ALICE]
    for key in (b"", bytes(81)):
        with pytest.raises(InvalidRecordError):
            await store.add(key, Provider(ALICE, HOME, clock.now))
        assert await store.get(key) == ()


async def test_a_restart_keeps_everything(store: ProviderStore, datastore: Datastore, clock: Clock) -> None:
    for number in range(4):
        await store.add(bytes([number]), Provider(ALICE, HOME, clock.now))
    await store.add(KEY, Provider(SELF, HOME, clock.now + 5))
    again = await opened(datastore, clock)
    assert again.strangers == store.strangers
    assert await again.get(b"\x00") == (Provider(ALICE, HOME, clock.now),)
    assert again.keys_of(SELF) == [(KEY, clock.now + 5)]
    with pytest.raises(LimitError):
        await again.add(KEY, Provider(ALICE, HOME, clock.now))


async def test_unreadable_rows_are_dropped(datastore: Datastore, clock: Clock) -> None:
    name = PREFIX + b"\x01k" + ALICE.to_bytes()
    rows: dict[bytes, bytes | None] = {
        PREFIX + b"\x50": bytes(8),
        PREFIX + b"\x01kjunk": bytes(8),
        name: bytes(8) + b"\x00\x05x",
        name + b"x": b"",
    }
    await datastore.write(rows)
    assert len(await opened(datastore, clock)) == 0
    assert [entry async for entry in datastore.scan(b"")] == []


async def test_expiry(store: ProviderStore, datastore: Datastore, clock: Clock) -> None:
    await store.add(KEY, Provider(ALICE, HOME, clock.now))
    clock.now += ADDRESS_VALIDITY_S
    assert (await store.get(KEY))[0].addresses == HOME
    clock.now += 1
    assert await store.get(KEY) == (Provider(ALICE, (), clock.now - ADDRESS_VALIDITY_S - 1),)
    await store.add(b"other", Provider(BOB, HOME, clock.now))
    clock.now += VALIDITY_S - ADDRESS_VALIDITY_S
    assert await store.get(KEY) == ()
    assert await store.sweep() == 1
    assert await store.sweep() == 0
    assert len(store) == store.strangers.entries == 1
    clock.now += VALIDITY_S
    assert len(await opened(datastore, clock)) == 0
    assert [entry async for entry in datastore.scan(b"")] == []


async def test_one_peer_cannot_fill_the_store(store: ProviderStore, clock: Clock) -> None:
    for number in range(4):
        await store.add(bytes([number]), Provider(ALICE, HOME, clock.now))
    with pytest.raises(LimitError) as raised:
        await store.add(KEY, Provider(ALICE, HOME, clock.now))
    assert (raised.value.scope, raised.value.key) == ("peer", "kademlia.provider_peer_entries")
    await store.add(b"\x00", Provider(ALICE, HOME[:1], clock.now))
    await store.add(KEY, Provider(BOB, HOME, clock.now))
    long = tuple(Multiaddr.parse(f"/dns/{'x' * 200}{number}/tcp/1") for number in range(16))
    with pytest.raises(LimitError, match="peer_bytes"):
        await store.add(b"\x00", Provider(ALICE, long, clock.now))


async def test_many_peers_cannot_push_others_out(store: ProviderStore, clock: Clock) -> None:
    for number in range(3):
        await store.add(KEY, Provider(peer(number), HOME, clock.now))
    with pytest.raises(LimitError) as raised:
        await store.add(KEY, Provider(peer(3), HOME, clock.now))
    assert (raised.value.scope, raised.value.key) == ("key", "kademlia.provider_key_entries")
    await store.add(KEY, Provider(peer(0), HOME, clock.now + 1))
    for number in range(3, 12):
        await store.add(bytes([number]), Provider(peer(number), HOME, clock.now))
    with pytest.raises(LimitError, match=r"node.*kademlia\.provider_entries"):
        await store.add(b"x", Provider(peer(99), HOME, clock.now))
    for number in range(20):
        await store.add(bytes([100 + number]), Provider(SELF, HOME, clock.now))
    await store.add(KEY, Provider(SELF, HOME, clock.now))
    assert len(store) == 33
    assert len(await store.get(KEY)) == 4


async def test_a_flood_at_once_stays_within_bounds(store: ProviderStore, clock: Clock) -> None:
    added = await asyncio.gather(
        *(store.add(bytes([number]), Provider(ALICE, HOME, clock.now)) for number in range(100)),
        *(store.add(KEY, Provider(peer(number), HOME, clock.now)) for number in range(100)),
        return_exceptions=True,
    )
    assert sum(each is None for each in added) == len(store) == store.strangers.entries == 4 + 3
    assert all(each is None or isinstance(each, LimitError) for each in added)


async def test_a_write_that_fails_changes_nothing(clock: Clock) -> None:
    datastore = Failing()
    store = await opened(datastore, clock)
    await store.add(KEY, Provider(ALICE, HOME, clock.now))
    held = (store.strangers.entries, store.strangers.bytes)
    datastore.failing = True
    for who in (ALICE, BOB):
        with pytest.raises(StorageError):
            await store.add(KEY, Provider(who, (), clock.now))
    assert (store.strangers.entries, store.strangers.bytes) == held
    assert await store.get(KEY) == (Provider(ALICE, HOME, clock.now),)


async def test_what_has_expired_takes_no_place_of_its_key(store: ProviderStore, clock: Clock) -> None:
    for number in range(3):
        await store.add(KEY, Provider(peer(number), HOME, clock.now))
    clock.now += VALIDITY_S + 1
    await store.add(KEY, Provider(peer(3), HOME, clock.now))
    assert [each.peer for each in await store.get(KEY)] == [peer(3)]
    assert await store.sweep() == 3
