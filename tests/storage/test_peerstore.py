"""The peerstore: lifetimes, bounds, what is on disk after a close, a kill or damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from mesh.errors import StorageError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.storage import peerstore, sqlite_file
from mesh.storage.peerstore import Lifetime, PeerDetails, Peerstore

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes and signals")


def key(number: int) -> PrivateKey:
    return PrivateKey.from_seed(number.to_bytes(32, "big"))


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(key(number).public)


def at(port: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}")


ALICE, BOB, CAROL = peer(1), peer(2), peer(3)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "peers.sqlite"


def reopened(path: Path, clock: Callable[[], float]) -> Peerstore:
    store = Peerstore(path, clock)
    store.open()
    return store


# -- memory ----------------------------------------------------------------------------------------------------------


def test_addresses_newest_first_without_peer_ids(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.open()
    assert store.of(ALICE) == ()
    store.add(ALICE, [at(1), Multiaddr.parse(f"/ip4/192.0.2.1/tcp/2/p2p/{ALICE}")])
    store.add(ALICE, [at(3), at(1), Multiaddr.parse(f"/p2p/{ALICE}")])
    assert store.of(ALICE) == (at(3), at(1), at(2))
    assert store.peers() == [ALICE]
    store.close()


def test_lifetimes(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.add(ALICE, [at(1)])
    store.add(ALICE, [at(2)], Lifetime.RECENT)
    store.add(ALICE, [at(3)], Lifetime.CONNECTED)
    store.add(ALICE, [at(4)], Lifetime.PERMANENT)
    clock.now += 119
    assert set(store.of(ALICE)) == {at(1), at(2), at(3), at(4)}
    clock.now += 1
    assert set(store.of(ALICE)) == {at(2), at(3), at(4)}
    clock.now += 780
    assert store.of(ALICE) == (at(4),)
    clock.now += 1e9
    assert store.of(ALICE) == (at(4),)


def test_a_shorter_lifetime_takes_nothing_away(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.add(ALICE, [at(1)], Lifetime.PERMANENT)
    store.add(ALICE, [at(2)], Lifetime.RECENT)
    store.add(ALICE, [at(1), at(2)])
    clock.now += 200
    assert store.of(ALICE) == (at(1), at(2))


def test_connected_addresses_stay_until_the_end(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.set_connected(ALICE, True)
    store.add(ALICE, [at(1)], Lifetime.CONNECTED)
    clock.now += 1e6
    assert store.of(ALICE) == (at(1),)
    store.set_connected(ALICE, False)
    clock.now += 899
    assert store.of(ALICE) == (at(1),)
    clock.now += 1
    assert store.of(ALICE) == ()
    details = store.details(ALICE)
    assert details == PeerDetails(ALICE, (), (), "", False, 2_000_000.0, None)


def test_sixty_four_addresses_that_live_longest(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.add(ALICE, [at(1)], Lifetime.PERMANENT)
    store.add(ALICE, [at(number) for number in range(2, 12)])
    clock.now += 1
    store.add(ALICE, [at(number) for number in range(100, 160)])
    kept = store.of(ALICE)
    assert len(kept) == 64
    assert kept[-1] == at(1)
    assert {at(number) for number in range(100, 160)} < set(kept)


def test_the_longest_untouched_peer_is_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peerstore, "MAX_PEERS", 4)
    store = Peerstore(None, clock)
    store.set_connected(peer(1), True)
    store.add(peer(2), [at(1)], Lifetime.PERMANENT)
    for number in (3, 4, 3, 5):
        store.add(peer(number), [at(1)])
    assert set(store.peers()) == {peer(1), peer(2), peer(3), peer(5)}
    store.add(peer(6), [at(1)])
    assert set(store.peers()) == {peer(1), peer(2), peer(5), peer(6)}


def test_what_a_peer_says(clock: Clock) -> None:
    store = Peerstore(None, clock)
    store.set_protocols(ALICE, ["/a/1", "/b/1", "/a/1", "", "bad\n", "\ud800"])
    assert store.protocols_of(ALICE) == ("/a/1", "/b/1")
    store.set_protocols(ALICE, [f"/{number}" for number in range(2000)])
    assert len(store.protocols_of(ALICE)) == 1024
    store.set_agent(ALICE, "x" * 300 + "\ud800")
    details = store.details(ALICE)
    assert details is not None
    assert details.agent == "x" * 256
    assert store.key_of(ALICE) == key(1).public
    store.set_key(ALICE, key(1).public)
    assert store.key_of(ALICE) == key(1).public
    with pytest.raises(UsageError, match="not that of"):
        store.set_key(ALICE, key(2).public)
    assert store.protocols_of(BOB) == ()
    assert store.details(BOB) is None
    store.forget(ALICE)
    store.forget(ALICE)
    assert store.peers() == []


def test_signed_records_only_move_forward(clock: Clock) -> None:
    store = Peerstore(None, clock)
    assert store.record_of(ALICE) is None
    assert store.set_record(ALICE, b"five", 5, [at(1)])
    assert not store.set_record(ALICE, b"four", 4, [at(2)])
    assert not store.set_record(ALICE, b"x" * 9000, 6, [at(2)])
    assert not store.set_record(ALICE, b"big", 2**64, [at(2)])
    assert store.record_of(ALICE) == (b"five", 5)
    assert store.of(ALICE) == (at(1),)
    assert store.set_record(ALICE, b"most", 2**64 - 1, [at(3)])
    assert store.record_of(ALICE) == (b"most", 2**64 - 1)


# -- disk ------------------------------------------------------------------------------------------------------------


def test_everything_is_kept(path: Path, clock: Clock) -> None:
    store = reopened(path, clock)
    store.set_connected(ALICE, True)
    store.add(ALICE, [at(1)], Lifetime.CONNECTED)
    store.add(ALICE, [at(2)], Lifetime.PERMANENT)
    store.set_protocols(ALICE, ["/a/1", "/b/1"])
    store.set_agent(ALICE, "mesh/1 ü")
    store.set_key(ALICE, key(1).public)
    store.set_record(ALICE, b"envelope", 2**63 + 1, [at(3)])
    store.add(BOB, [at(4)], Lifetime.RECENT)
    store.set_protocols(CAROL, ["/c"])
    store.forget(CAROL)
    store.close()
    store.close()
    assert not any(thread.name == "peerstore" for thread in threading.enumerate())
    clock.now += 100
    store = reopened(path, clock)
    assert store.peers() == [ALICE, BOB]
    addresses = (at(3), at(2), at(1))
    details = PeerDetails(ALICE, addresses, ("/a/1", "/b/1"), "mesh/1 ü", False, 1_000_000.0, 2**63 + 1)
    assert store.details(ALICE) == details
    assert store.record_of(ALICE) == (b"envelope", 2**63 + 1)
    assert store.key_of(ALICE) == key(1).public
    assert store.of(BOB) == (at(4),)
    clock.now += 800
    assert store.of(BOB) == ()
    assert store.of(ALICE) == (at(2), at(1))
    store.close()


def test_what_came_before_the_start_joins_the_file(path: Path, clock: Clock) -> None:
    store = reopened(path, clock)
    store.add(ALICE, [at(1)], Lifetime.RECENT)
    store.set_protocols(ALICE, ["/a"])
    store.set_record(ALICE, b"signed", 3, [])
    store.close()
    store = Peerstore(path, clock)
    store.add(ALICE, [at(2)], Lifetime.RECENT)
    store.add(BOB, [at(3)], Lifetime.RECENT)
    store.open()
    assert set(store.of(ALICE)) == {at(1), at(2)}
    assert store.protocols_of(ALICE) == ("/a",)
    store.close()
    store = reopened(path, clock)
    assert set(store.of(ALICE)) == {at(1), at(2)}
    assert store.record_of(ALICE) == (b"signed", 3)
    assert store.of(BOB) == (at(3),)
    store.close()


def test_bounds_hold_on_disk(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = reopened(path, clock)
    for number in range(1, 9):
        clock.now += 1
        store.add(peer(number), [at(1)], Lifetime.PERMANENT if number == 3 else Lifetime.RECENT)
    store.close()
    monkeypatch.setattr(peerstore, "MAX_PEERS", 6)
    store = reopened(path, clock)
    assert store.peers() == [peer(number) for number in range(3, 9)]
    store.add(peer(9), [at(1)], Lifetime.RECENT)
    assert set(store.peers()) == {peer(3), *(peer(number) for number in range(5, 10))}
    store.close()
    store = reopened(path, clock)
    assert set(store.peers()) == {peer(3), *(peer(number) for number in range(5, 10))}
    store.close()


def test_many_changes_share_commits(path: Path, clock: Clock) -> None:
    store = reopened(path, clock)
    for number in range(300):
        for port in range(3):
            store.add(peer(number), [at(port + 1)], Lifetime.RECENT)
    store.flush().result()
    table = store._table
    assert table is not None
    assert table.commits < 20
    assert 300 <= table.written < 900
    store.add(ALICE, [at(9)])
    store.flush().result()
    store.close()


@posix
def test_modes(path: Path, clock: Clock) -> None:
    reopened(path, clock).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_program_at_a_time(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT_S", 0.01)
    first = reopened(path, clock)
    second = Peerstore(path, clock)
    with pytest.raises(StorageError, match="another program has the peers open"):
        second.open()
    second.add(ALICE, [at(1)], Lifetime.RECENT)
    second.close()
    first.close()
    reopened(path, clock).close()


@pytest.mark.parametrize("how", ["text", "page", "cut"])
def test_damage_is_told_and_kept(path: Path, clock: Clock, how: str) -> None:
    store = reopened(path, clock)
    for number in range(300):
        store.add(peer(number), [at(port) for port in range(1, 6)], Lifetime.PERMANENT)
    store.close()
    data = path.read_bytes()
    assert len(data) > 5 * 4096
    damaged = {
        "text": b"this is no database at all" * 1000,
        "page": data[:8192] + os.urandom(8192) + data[16384:],
        "cut": data[: len(data) // 2],
    }[how]
    path.write_bytes(damaged)
    store = Peerstore(path, clock)
    with pytest.raises(StorageError, match=r"damaged: .*; restore it from a backup, or move it away"):
        store.open()
    store.close()
    assert path.read_bytes() == damaged


def test_foreign_and_newer_databases(path: Path, clock: Clock) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (id INTEGER)")
    database.close()
    with pytest.raises(StorageError, match="another database"):
        Peerstore(path, clock).open()
    path.unlink()
    reopened(path, clock).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(StorageError, match="newer mesh"):
        Peerstore(path, clock).open()


def test_a_folder_that_cannot_be_used(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot open the peers"):
        Peerstore(tmp_path / "file" / "peers.sqlite", clock).open()


def test_a_failed_write_is_told_and_tried_again(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = reopened(path, clock)
    table = store._table
    assert table is not None
    write = type(table)._write
    full = True

    def refuse(*arguments: object) -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(table), "_write", refuse)
    store.add(ALICE, [at(1)], Lifetime.RECENT)
    with pytest.raises(StorageError, match="disk is full; check the disk's free space"):
        store.flush().result()
    assert table.failures == 1
    full = False
    store.close()
    store = reopened(path, clock)
    assert store.of(ALICE) == (at(1),)
    store.close()


def test_who_does_not_wait_for_the_start_or_a_flush_ends_no_thread(path: Path, clock: Clock) -> None:
    """A task that is cancelled while it waits cancels the future it waits for."""
    store = Peerstore(path, clock)
    assert not store.start().cancel()
    assert not store.flush().cancel()
    store.stop().result(timeout=10)
    store.close()


def test_flushes_after_the_end_resolve(path: Path, clock: Clock) -> None:
    store = reopened(path, clock)
    done: list[Future[None]] = [store.stop(), store.stop(), store.flush()]
    for each in done:
        each.result(timeout=10)
    store.add(ALICE, [at(1)], Lifetime.RECENT)
    assert store.of(ALICE) == (at(1),)
    store.close()


WRITER = """
import sys, time
from pathlib import Path
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.storage.peerstore import Lifetime, Peerstore
store = Peerstore(Path(sys.argv[1]), time.time)
store.open()
number = 0
while True:
    number += 1
    peer = PeerId.from_public_key(PrivateKey.from_seed(number.to_bytes(32, "big")).public)
    store.add(peer, [Multiaddr.parse("/ip4/192.0.2.1/tcp/1")], Lifetime.PERMANENT)
    if number % 50 == 0:
        store.flush().result()
        print(number, flush=True)
"""


@posix
@pytest.mark.parametrize("rounds", [1, 7])
def test_what_was_flushed_survives_a_kill(path: Path, clock: Clock, rounds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(rounds)][-1]
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    store = reopened(path, clock)
    known = set(store.peers())
    assert {peer(number) for number in range(1, flushed + 1)} <= known
    assert all(store.of(each) == (at(1),) for each in known)
    store.close()
