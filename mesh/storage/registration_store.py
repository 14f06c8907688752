"""Who is registered at this rendezvous point: in memory to answer from, and in a datastore to survive.

Registrations have growing numbers, across restarts too, so that an answer's cookie tells where to go on. They are
bounded in all and for each peer; one that finds no room is refused, and a flood pushes nobody out.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mesh.errors import DecodeError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.rendezvous import Registration
from mesh.storage.datastore import Datastore
from mesh.storage.quota import Quota, QuotaLimits, Usage

PREFIX: Final = b"/rendezvous/"
SETTING: Final = "rendezvous"
ENTRY_BYTES: Final = 256
_ROW: Final = struct.Struct(">Qd")
_AT_ONCE: Final = 256
_SLACK: Final = 64

Key = tuple[str, PeerId]


@dataclass(frozen=True, slots=True)
class RegistrationLimits:
    """Registrations and their bytes, in all and of one peer."""

    entries: int = 16_384
    bytes: int = 16 * 1024 * 1024
    peer_entries: int = 1000
    peer_bytes: int = 4 * 1024 * 1024


class _Sequence:
    """Registrations by their numbers, which only grow: where to go on is found by bisection."""

    __slots__ = ("_entries", "_numbers")

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._entries: dict[int, Registration] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, registration: Registration) -> None:
        self._numbers.append(registration.seq)
        self._entries[registration.seq] = registration

    def discard(self, registration: Registration) -> None:
        self._entries.pop(registration.seq, None)
        if len(self._numbers) > 2 * len(self._entries) + _SLACK:
            self._numbers = list(self._entries)

    def after(self, seq: int) -> Iterator[Registration]:
        for at in range(bisect_right(self._numbers, seq), len(self._numbers)):
            found = self._entries.get(self._numbers[at])
            if found is not None:
                yield found


class RegistrationStore:
    """The store. ``clock`` gives Unix seconds; used from one loop. `open` comes first; the datastore is its owner's to
    close."""

    def __init__(
        self, datastore: Datastore, clock: Callable[[], float], limits: RegistrationLimits | None = None
    ) -> None:
        self._datastore = datastore
        self._clock = clock
        most = limits or RegistrationLimits()
        sizes = (most.entries, most.bytes, most.peer_entries, most.peer_bytes)
        self._quota = Quota("registrations", QuotaLimits(*sizes, key=SETTING))
        self._held: dict[Key, Registration] = {}
        self._all = _Sequence()
        self._spaces: dict[str, _Sequence] = {}
        self.newest = 0

    async def open(self) -> None:
        """Read what is held; expired and unreadable entries go. Raises StorageError."""
        now = self._clock()
        found: list[Registration] = []
        gone: list[bytes] = []
        async for name, row in self._datastore.scan(PREFIX):
            registration = _unpack(name, row)
            if registration is not None:
                self.newest = max(self.newest, registration.seq)
            if registration is None or registration.expires_at <= now:
                gone.append(name)
            else:
                found.append(registration)
        for registration in sorted(found, key=lambda each: each.seq):
            self._hold(registration)
        await self._delete(gone)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def namespaces(self) -> int:
        """How many have registrations."""
        return len(self._spaces)

    @property
    def usage(self) -> Usage:
        """Entries and bytes held."""
        return self._quota.strangers

    async def add(self, namespace: str, peer: PeerId, envelope: bytes, ttl_s: float) -> Registration:
        """Register a peer, in the place of its former registration under the namespace.

        Returns once it survives the death of the process. Raises LimitError, with nothing changed, when the peer or the
        point has no room; StorageError.
        """
        key = (namespace, peer)
        self.newest += 1
        made = Registration(namespace, peer, envelope, self._clock() + ttl_s, self.newest)
        sender = peer.to_bytes()
        former = self._held.get(key)
        self._quota.check(sender, _size(made), (sender, _size(former)) if former is not None else None)
        self._drop(former)
        self._hold(made)
        try:
            await self._datastore.put(_name(key), _ROW.pack(made.seq, made.expires_at) + envelope)
        except StorageError:
            if self._held.get(key) is made:
                self._drop(made)
            raise
        return made

    async def remove(self, namespace: str, peer: PeerId) -> bool:
        """Drop a peer's registration; whether there was one. Raises StorageError."""
        registration = self._held.get((namespace, peer))
        if registration is None:
            return False
        self._drop(registration)
        await self._datastore.delete(_name((namespace, peer)))
        return True

    def after(self, namespace: str, seq: int) -> Iterator[Registration]:
        """Registrations under a namespace (an empty one means all) with greater numbers, in order, none expired."""
        sequence = self._spaces.get(namespace) if namespace else self._all
        now = self._clock()
        return (each for each in (sequence.after(seq) if sequence else ()) if each.expires_at > now)

    async def sweep(self) -> int:
        """Remove what has expired; returns how many. Raises StorageError."""
        now = self._clock()
        old = [each for each in self._held.values() if each.expires_at <= now]
        for each in old:
            self._drop(each)
        await self._delete([_name((each.namespace, each.peer)) for each in old])
        return len(old)

    # -- within ------------------------------------------------------------------------------------------------------

    def _hold(self, registration: Registration) -> None:
        self._held[registration.namespace, registration.peer] = registration
        self._all.append(registration)
        self._spaces.setdefault(registration.namespace, _Sequence()).append(registration)
        self._quota.add(registration.peer.to_bytes(), _size(registration))

    def _drop(self, registration: Registration | None) -> None:
        if registration is None:
            return
        del self._held[registration.namespace, registration.peer]
        self._all.discard(registration)
        space = self._spaces[registration.namespace]
        space.discard(registration)
        if not len(space):
            del self._spaces[registration.namespace]
        self._quota.remove(registration.peer.to_bytes(), _size(registration))

    async def _delete(self, names: list[bytes]) -> None:
        for at in range(0, len(names), _AT_ONCE):
            await self._datastore.write(dict.fromkeys(names[at : at + _AT_ONCE]))


def _size(registration: Registration) -> int:
    return registration.size + ENTRY_BYTES


def _name(key: Key) -> bytes:
    namespace = key[0].encode()
    return PREFIX + bytes([len(namespace)]) + namespace + key[1].to_bytes()


def _unpack(name: bytes, row: bytes) -> Registration | None:
    """The registration of a row; None for one that is not ours."""
    at = len(PREFIX) + 1
    if len(name) < at or len(row) < _ROW.size:
        return None
    end = at + name[at - 1]
    try:
        peer, namespace = PeerId.from_bytes(name[end:]), name[at:end].decode()
    except (DecodeError, UnicodeDecodeError):
        return None
    seq, expires_at = _ROW.unpack_from(row)
    return Registration(namespace, peer, row[_ROW.size :], expires_at, seq)
