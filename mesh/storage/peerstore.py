"""What is known of peers, connected or not: addresses, protocols, keys, agents, signed records.

Everything is answered from memory; with a path it is kept in SQLite too (see `peer_table`). Addresses live by class, as
in go-libp2p (libp2p digest, section 24). At most 10,000 peers with 64 addresses each: the peer longest untouched is
forgotten first, save connected ones and those with permanent addresses. Temporary addresses alone are not worth a write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from mesh.errors import DecodeError, UsageError
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.storage.known_peer import CONNECTED, KnownPeer, Lifetime, PeerDetails
from mesh.storage.peer_table import PeerTable, Rows

__all__ = ["Lifetime", "PeerDetails", "Peerstore"]

MAX_PEERS: Final = 10_000
MAX_ADDRESSES: Final = 64
MAX_PROTOCOLS: Final = 1024
MAX_AGENT_CHARACTERS: Final = 256
MAX_RECORD_BYTES: Final = 8192


class Peerstore:
    """The store. ``clock`` gives Unix seconds. Used from one thread; only its table has another one.

    Without `open` (or `start`) it works in memory; what was added before joins what the file knows.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._peers: dict[PeerId, KnownPeer] = {}
        self._rows: Rows = {}
        self._loaded: Rows | None = None
        self._table = PeerTable(path, MAX_PEERS) if path is not None else None

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Future[None]:
        """Read the file in the table's thread; from a loop, ``await asyncio.wrap_future(peers.start())``.

        Fails with `StorageError` when the file is damaged, foreign or in use; it is never replaced.
        """
        return self._table.start(self._take_rows) if self._table is not None else _done()

    def open(self) -> None:
        """`start`, waiting for its end."""
        self.start().result()

    def flush(self) -> Future[None]:
        """Resolves once all changes so far are on disk; fails with `StorageError`."""
        self._adopt()
        return self._table.flush() if self._table is not None else _done()

    def stop(self) -> Future[None]:
        """Write what waits and close the file. Memory can still be read; later changes stay there."""
        self._adopt()
        return self._table.stop() if self._table is not None else _done()

    def close(self) -> None:
        """`stop`, waiting for the end of its thread. Raises `StorageError` when changes could not be written."""
        done = self.stop()
        if self._table is not None:
            self._table.join()
        done.result()

    # -- addresses ---------------------------------------------------------------------------------------------------

    def add(
        self, peer: PeerId, addresses: Iterable[Multiaddr], lifetime: Lifetime = Lifetime.TEMPORARY
    ) -> None:
        """Remember addresses of a peer, newest first; a known one lives on for the longer of both times.

        Beyond 64 the ones that expire soonest go.
        """
        record = self._find(peer) or KnownPeer(peer)
        now = self._clock()
        self._add(record, addresses, lifetime, now)
        self._touch(record, now, save=lifetime is not Lifetime.TEMPORARY)

    def _add(self, record: KnownPeer, addresses: Iterable[Multiaddr], lifetime: Lifetime, now: float) -> None:
        given = dict.fromkeys([bare for each in addresses if (bare := each.without_peer())])
        if lifetime is Lifetime.CONNECTED and not record.connected:
            lifetime = Lifetime.RECENT
        expires = lifetime.value if lifetime.value >= CONNECTED else now + lifetime.value
        known = record.addresses
        merged = {each: max(expires, known.get(each, 0.0)) for each in given}
        merged |= {each: until for each, until in known.items() if until > now and each not in merged}
        while len(merged) > MAX_ADDRESSES:
            del merged[min(reversed(merged), key=merged.__getitem__)]
        record.addresses = merged

    def of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Addresses that have not expired, newest first."""
        record = self._find(peer)
        if record is None or not record.addresses:
            return ()
        now = self._clock()
        return tuple(each for each, until in record.addresses.items() if until > now)

    def set_connected(self, peer: PeerId, connected: bool) -> None:
        """The first connection to a peer is there, or the last one has gone."""
        record = self._find(peer) or KnownPeer(peer)
        now = self._clock()
        record.connected = connected
        record.last_seen = now
        if not connected:
            recent = now + Lifetime.RECENT.value
            record.addresses = {
                each: recent if until == CONNECTED else until for each, until in record.addresses.items()
            }
        self._touch(record, now)

    # -- what a peer says of itself ----------------------------------------------------------------------------------

    def set_protocols(self, peer: PeerId, protocols: Iterable[str]) -> None:
        """What a peer speaks, at most 1024. Names that no negotiation could carry are left out."""
        record = self._find(peer) or KnownPeer(peer)
        if protocols == record.protocols:
            return
        possible = dict.fromkeys(each for each in protocols if each.isprintable() and each)
        protocols = tuple(map(sys.intern, possible))[:MAX_PROTOCOLS]
        if protocols != record.protocols:
            record.protocols = protocols
            self._touch(record, self._clock())

    def protocols_of(self, peer: PeerId) -> tuple[str, ...]:
        record = self._find(peer)
        return record.protocols if record is not None else ()

    def set_agent(self, peer: PeerId, agent: str) -> None:
        """The peer's program, cut at 256 characters."""
        record = self._find(peer) or KnownPeer(peer)
        agent = agent[:MAX_AGENT_CHARACTERS].encode("utf-8", "replace").decode()
        if agent != record.agent:
            record.agent = agent
            self._touch(record, self._clock())

    def set_key(self, peer: PeerId, key: PublicKey) -> None:
        """The peer's public key. Raises `UsageError` when it is another's."""
        record = self._find(peer) or KnownPeer(peer)
        encoded = key.to_protobuf()
        if encoded == record.key:
            return
        if not peer.matches(key):
            raise UsageError(f"the key is not that of {peer}")
        record.key = encoded
        self._touch(record, self._clock())

    def key_of(self, peer: PeerId) -> PublicKey | None:
        """The key that was set, or the one inside the id."""
        record = self._find(peer)
        if record is None or not record.key:
            return peer.public_key()
        try:
            return PublicKey.from_protobuf(record.key)
        except DecodeError:
            return peer.public_key()

    def set_record(
        self,
        peer: PeerId,
        envelope: bytes,
        seq: int,
        addresses: Iterable[Multiaddr],
        lifetime: Lifetime = Lifetime.RECENT,
    ) -> bool:
        """Keep a signed record whose signature and owner the caller has checked, and its addresses.

        False, and nothing kept, for one that is older than the one known or longer than 8 KiB.
        """
        record = self._find(peer) or KnownPeer(peer)
        if len(envelope) > MAX_RECORD_BYTES or not 0 <= seq < 2**64 or (record.envelope and seq < record.seq):
            return False
        record.envelope = bytes(envelope)
        record.seq = seq
        now = self._clock()
        self._add(record, addresses, lifetime, now)
        self._touch(record, now)
        return True

    def record_of(self, peer: PeerId) -> tuple[bytes, int] | None:
        """Envelope and sequence number of the newest signed record."""
        record = self._find(peer)
        return (record.envelope, record.seq) if record is not None and record.envelope else None

    # -- all of them -------------------------------------------------------------------------------------------------

    def peers(self) -> list[PeerId]:
        """Every known peer."""
        self._adopt()
        return [*self._rows, *self._peers]

    def details(self, peer: PeerId) -> PeerDetails | None:
        """Everything about a peer; None for an unknown one."""
        record = self._find(peer)
        if record is None:
            return None
        seq = record.seq if record.envelope else None
        seen = (record.connected, record.last_seen)
        return PeerDetails(peer, self.of(peer), record.protocols, record.agent, *seen, seq)

    def forget(self, peer: PeerId) -> None:
        """Drop everything about a peer; nothing happens for an unknown one."""
        record = self._find(peer)
        if record is not None:
            del self._peers[peer]
            self._unsave(record)

    # -- within ------------------------------------------------------------------------------------------------------

    def _find(self, peer: PeerId) -> KnownPeer | None:
        if self._loaded is not None:
            self._adopt()
        record = self._peers.get(peer)
        if record is None and self._rows and (row := self._rows.pop(peer, None)) is not None:
            record = self._peers[peer] = KnownPeer.from_row(peer, row, self._clock())
        return record

    def _touch(self, record: KnownPeer, now: float, save: bool = True) -> None:
        """Make a peer the newest and, unless it is not worth it, have it written."""
        record.touched = now
        self._peers.pop(record.peer, None)
        self._peers[record.peer] = record
        if len(self._peers) + len(self._rows) > MAX_PEERS:
            self._forget_oldest()
        if save and self._table is not None:
            record.stored = True
            self._table.put(record.peer, record)

    def _forget_oldest(self) -> None:
        while self._rows:
            peer = next(iter(self._rows))
            record = KnownPeer.from_row(peer, self._rows.pop(peer), self._clock())
            if not record.kept:
                self._unsave(record)
                return
            self._peers[peer] = record
        oldest = next((each for each in self._peers.values() if not each.kept), None)
        record = oldest or next(iter(self._peers.values()))
        del self._peers[record.peer]
        self._unsave(record)

    def _unsave(self, record: KnownPeer) -> None:
        if record.stored and self._table is not None:
            self._table.put(record.peer, None)

    def _take_rows(self, rows: Rows) -> None:
        """Runs in the table's thread: the next call in ours adopts them."""
        self._loaded = rows

    def _adopt(self) -> None:
        rows, self._loaded = self._loaded, None
        if rows is None:
            return
        self._rows = rows
        now = self._clock()
        for peer in [peer for peer in self._peers if peer in rows]:
            record, before = self._peers[peer], KnownPeer.from_row(peer, rows.pop(peer), now)
            record.addresses = before.addresses | record.addresses
            record.protocols = record.protocols or before.protocols
            record.key = record.key or before.key
            record.agent = record.agent or before.agent
            record.last_seen = max(record.last_seen, before.last_seen)
            if before.envelope and before.seq > record.seq:
                record.envelope, record.seq = before.envelope, before.seq
            self._touch(record, now)
        while len(self._peers) + len(self._rows) > MAX_PEERS:
            self._forget_oldest()


def _done() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done
