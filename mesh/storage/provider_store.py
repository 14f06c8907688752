"""Who provides what, as told by the providers themselves: in a datastore, bounded in all, for each of them and each key.

Sizes and times are kept in memory, addresses in the datastore; a restart reads them again. An entry counts as its key,
its addresses and ENTRY_BYTES more. Entries of this node are counted but not limited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from mesh.errors import DecodeError, LimitError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia.providers import Provider, check_key, expired, served
from mesh.storage.datastore import Datastore
from mesh.storage.quota import Quota, QuotaLimits, Usage

PREFIX: Final = b"/dht/provider/"
SETTING: Final = "kademlia.provider"
ENTRY_BYTES: Final = 256
MAX_SERVED: Final = 100
_RECEIVED: Final = struct.Struct(">d")
_LENGTH: Final = struct.Struct(">H")
_AT_ONCE: Final = 256
_REMEMBERED: Final = 256
"""Sets of addresses kept read; one takes 16 KiB at most."""


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """Entries and bytes of strangers' announcements, in all and of one peer, and the providers one key may have."""

    entries: int = 131_072
    bytes: int = 64 * 1024 * 1024
    peer_entries: int = 8192
    peer_bytes: int = 4 * 1024 * 1024
    key_entries: int = 256


class _Held(NamedTuple):
    size: int
    received: float


class ProviderStore:
    """The store. ``clock`` gives Unix seconds; used from one loop. `open` comes first; the datastore is its owner's to
    close.

    ``local`` is this node, whose own announcements are not limited.
    """

    def __init__(
        self,
        datastore: Datastore,
        clock: Callable[[], float],
        local: PeerId | None = None,
        limits: ProviderLimits | None = None,
    ) -> None:
        self._datastore = datastore
        self._clock = clock
        self._local = local.to_bytes() if local is not None else b""
        self._limits = most = limits or ProviderLimits()
        self._held: dict[bytes, dict[bytes, _Held]] = {}
        sizes = (most.entries, most.bytes, most.peer_entries, most.peer_bytes)
        self._quota = Quota("providers", QuotaLimits(*sizes, key=SETTING))

    async def open(self) -> None:
        """Read what is held; expired and unreadable entries go. Raises StorageError."""
        now = self._clock()
        gone: list[bytes] = []
        async for name, row in self._datastore.scan(PREFIX):
            found = _unpack(name, row)
            if found is None or expired(found[1].received, now):
                gone.append(name)
            else:
                key, provider = found
                self._count(
                    key, provider.peer.to_bytes(), _Held(len(key) + len(row) + ENTRY_BYTES, provider.received)
                )
        await self._delete(gone)

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def strangers(self) -> Usage:
        """Entries and bytes of all announcements but ours."""
        return self._quota.strangers

    async def add(self, key: bytes, provider: Provider) -> None:
        """Keep an announcement in the place of the peer's former one for the key.

        Returns once it survives the death of the process. Raises InvalidRecordError for a key of a wrong size;
        LimitError, with nothing changed, when the peer, the key or the node has no room for it (a flood pushes nobody
        out); StorageError.
        """
        check_key(key)
        peer, row = provider.peer.to_bytes(), _pack(provider)
        size = len(key) + len(row) + ENTRY_BYTES
        former = self._held.get(key, {}).get(peer)
        if former is None and peer != self._local and self._full(key):
            raise LimitError(
                "key", "providers of one key", self._limits.key_entries, f"{SETTING}_key_entries"
            )
        self._quota.check(self._charged(peer), size, (self._charged(peer), former.size) if former else None)
        held = _Held(size, provider.received)
        self._drop(key, peer)
        self._count(key, peer, held)
        try:
            await self._datastore.put(_name(key, peer), row)
        except StorageError:
            if self._held.get(key, {}).get(peer) is held:
                self._drop(key, peer)
                if former is not None:
                    self._count(key, peer, former)
            raise

    async def get(self, key: bytes, limit: int = MAX_SERVED) -> tuple[Provider, ...]:
        """At most `limit` providers that have not expired, newest first, old addresses left out. Raises StorageError."""
        held = self._held.get(key)
        if held is None:
            return ()
        found: list[Provider] = []
        if len(held) == 1:
            name = _name(key, next(iter(held)))
            row = await self._datastore.get(name)
            rows = [(name, row)] if row is not None else []
        else:
            rows = [each async for each in self._datastore.scan(_name(key, b""))]
        for name, row in rows:
            entry = _unpack(name, row)
            if entry is not None:
                found.append(entry[1])
        return served(found, self._clock(), limit)

    def keys_of(self, peer: PeerId) -> list[tuple[bytes, float]]:
        """The keys a peer announced and when, for the local one to plan its next announcements."""
        wanted = peer.to_bytes()
        return [(key, peers[wanted].received) for key, peers in self._held.items() if wanted in peers]

    async def remove(self, key: bytes, peer: PeerId) -> None:
        """Drop a peer's announcement; nothing happens for an unknown one. Raises StorageError."""
        if peer.to_bytes() in self._held.get(key, {}):
            self._drop(key, peer.to_bytes())
            await self._datastore.delete(_name(key, peer.to_bytes()))

    async def sweep(self) -> int:
        """Remove what has expired; returns how many. To be called about once an hour. Raises StorageError."""
        now = self._clock()
        old = [
            (key, peer)
            for key, peers in self._held.items()
            for peer, held in peers.items()
            if expired(held.received, now)
        ]
        for key, peer in old:
            self._drop(key, peer)
        await self._delete([_name(key, peer) for key, peer in old])
        return len(old)

    # -- within ------------------------------------------------------------------------------------------------------

    def _full(self, key: bytes) -> bool:
        peers, most, now = self._held.get(key, {}), self._limits.key_entries, self._clock()
        if len(peers) < most:
            return False
        return (
            sum(peer != self._local and not expired(held.received, now) for peer, held in peers.items())
            >= most
        )

    def _charged(self, peer: bytes) -> bytes | None:
        return None if peer == self._local else peer

    def _count(self, key: bytes, peer: bytes, held: _Held) -> None:
        self._held.setdefault(key, {})[peer] = held
        self._quota.add(self._charged(peer), held.size)

    def _drop(self, key: bytes, peer: bytes) -> None:
        peers = self._held.get(key)
        held = peers.pop(peer, None) if peers is not None else None
        if held is not None:
            self._quota.remove(self._charged(peer), held.size)
        if not peers:
            self._held.pop(key, None)

    async def _delete(self, names: Sequence[bytes]) -> None:
        for at in range(0, len(names), _AT_ONCE):
            await self._datastore.write(dict.fromkeys(names[at : at + _AT_ONCE]))


def _name(key: bytes, peer: bytes) -> bytes:
    return PREFIX + bytes([len(key)]) + key + peer


def _pack(provider: Provider) -> bytes:
    addresses = [each.to_bytes() for each in provider.addresses]
    return _RECEIVED.pack(provider.received) + b"".join(_LENGTH.pack(len(each)) + each for each in addresses)


def _unpack(name: bytes, row: bytes) -> tuple[bytes, Provider] | None:
    """Key and provider of a row; None for one that is not ours."""
    at = len(PREFIX) + 1
    if len(name) < at or len(row) < _RECEIVED.size:
        return None
    end = at + name[at - 1]
    try:
        peer = PeerId.from_bytes(name[end:])
        addresses = _addresses(row[_RECEIVED.size :])
    except (DecodeError, struct.error):
        return None
    return name[at:end], Provider(peer, addresses, _RECEIVED.unpack_from(row)[0])


@lru_cache(maxsize=_REMEMBERED)
def _addresses(packed: bytes) -> tuple[Multiaddr, ...]:
    """The addresses of a row. A peer announces many keys, with the same ones. Raises `DecodeError`, `struct.error`."""
    found: list[Multiaddr] = []
    position = 0
    while position < len(packed):
        (size,) = _LENGTH.unpack_from(packed, position)
        position += _LENGTH.size + size
        found.append(Multiaddr.from_bytes(packed[position - size : position]))
    return tuple(found)
