"""The client: whom to ask for which block, when to ask others, when to ask again (boxo's sessions).

A block is first sought by asking peers whether they have it. One that does is asked for the block, the others of the
session only whether they have it too, in case that one fails. Who gave blocks to a session is asked at once for its next
ones. A peer that lets us wait, or does not have it after all, is passed over for the next. What nobody has is asked for
again, after one second first, then twice as long each time, and the caller is told to look for other peers. Peers of
versions without HAVE are asked for the block itself, one after another.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mesh.codecs.bitswap import Entry, WantType
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.protocols.bitswap.message import Received
from mesh.protocols.bitswap.supplier import Supplier
from mesh.protocols.bitswap.version import Version

MAX_LIVE: Final = 1024
"""Blocks sought at a time; more wait until some are here."""
MAX_STRANGERS: Final = 64
"""Peers that never gave us anything, and are asked all the same, for each block."""
TOP_PRIORITY: Final = 2**31 - 1
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
REPEAT_S: Final = 30.0
"""What a peer was told is not repeated sooner."""
ANSWER_S: Final = 30.0
"""A block that was asked of a peer comes within this time, whatever else the peer sends."""
MAX_UNWANTED_BYTES: Final = 16 * 1024 * 1024


class _Want:
    """A block that is sought. ``told``: when which peer was asked whether it has it, or for the block; ``haves`` said
    yes, ``lacks`` said no or let us wait."""

    __slots__ = (
        "asked_at",
        "broadcast_at",
        "cid",
        "due_at",
        "giver",
        "haves",
        "lacks",
        "pause_s",
        "sessions",
        "told",
    )

    def __init__(self, cid: Cid) -> None:
        self.cid = cid
        self.sessions: dict[int, None] = {}
        self.told: dict[PeerId, float] = {}
        self.haves: dict[PeerId, None] = {}
        self.lacks: dict[PeerId, None] = {}
        self.giver: PeerId | None = None
        self.asked_at = 0.0
        self.broadcast_at: float | None = None
        self.pause_s = FIRST_PAUSE_S
        self.due_at: float | None = None


class Client:
    """Wants of all sessions, which are numbers that the caller chooses. CIDs of one multihash are one want."""

    def __init__(self) -> None:
        self._suppliers: dict[PeerId, Supplier] = {}
        self._wants: dict[bytes, _Want] = {}
        self._queued: dict[bytes, tuple[Cid, dict[int, None]]] = {}
        self._unassigned: dict[bytes, None] = {}
        self._sessions: dict[int, dict[PeerId, None]] = {}
        self._timers: list[tuple[float, int, bytes]] = []
        self._turn = 0
        self._priority = TOP_PRIORITY
        self._sought: dict[bytes, Cid] = {}
        self.unwanted = 0

    # -- peers -------------------------------------------------------------------------------------------------------

    @property
    def suppliers(self) -> Sequence[Supplier]:
        return tuple(self._suppliers.values())

    def supplier(self, peer: PeerId) -> Supplier | None:
        return self._suppliers.get(peer)

    def connected(self, peer: PeerId, version: Version, now: float) -> None:
        """A peer speaks bitswap, perhaps another version than before: it is asked for what is sought in vain."""
        known = self._suppliers.get(peer)
        if known is not None:
            known.version = version
            return
        supplier = self._suppliers[peer] = Supplier(peer, version, now)
        for key, want in self._wants.items():
            if want.broadcast_at is not None and version.has_presences:
                self._ask_presence(want, supplier, now)
            if want.giver is None:
                self._advance(key, want, now)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """Others are asked for what it owed."""
        if self._suppliers.pop(peer, None) is None:
            return
        for peers in self._sessions.values():
            peers.pop(peer, None)
        for key, want in self._wants.items():
            want.told.pop(peer, None)
            want.haves.pop(peer, None)
            want.lacks.pop(peer, None)
            if want.giver == peer:
                want.giver, want.due_at = None, None
            if want.giver is None:
                self._unassigned.pop(key, None)
                self._advance(key, want, now)

    def restarted(self, peer: PeerId, now: float) -> None:
        """The stream to a peer is a new one: all it is to know is told again."""
        supplier = self._suppliers.get(peer)
        if supplier is None:
            return
        supplier.restart()
        for want in self._wants.values():
            if peer in want.told:
                want.told[peer] = now
                supplier.tell(self._entry(want, want.giver == peer, want.giver == peer))

    # -- wants -------------------------------------------------------------------------------------------------------

    def want(self, session: int, cids: Iterable[Cid], now: float) -> None:
        """Seek blocks; what is sought already gets one session more."""
        self._sessions.setdefault(session, {})
        for cid in cids:
            key = cid.multihash.to_bytes()
            if key in self._wants:
                self._wants[key].sessions[session] = None
            elif key in self._queued:
                self._queued[key][1][session] = None
            elif len(self._wants) < MAX_LIVE:
                self._start(key, cid, {session: None}, now)
            else:
                self._queued[key] = cid, {session: None}

    def forget(self, session: int, cids: Iterable[Cid], now: float) -> None:
        """A session seeks these no more; when no other does either, peers are told."""
        for cid in cids:
            key = cid.multihash.to_bytes()
            if key in self._queued:
                sessions = self._queued[key][1]
                sessions.pop(session, None)
                if not sessions:
                    del self._queued[key]
            elif key in self._wants:
                want = self._wants[key]
                want.sessions.pop(session, None)
                if not want.sessions:
                    self._finish(key, want, None, now)
        self._refill(now)

    def satisfied(self, cid: Cid, now: float) -> None:
        """A block is here by other means: no session seeks it any more."""
        key = cid.multihash.to_bytes()
        self._queued.pop(key, None)
        want = self._wants.get(key)
        if want is not None:
            self._finish(key, want, None, now)
            self._refill(now)

    def end(self, session: int, now: float) -> None:
        """A session is over, with all it still seeks."""
        self._sessions.pop(session, None)
        left = [want.cid for want in self._wants.values() if session in want.sessions]
        left += [cid for cid, sessions in self._queued.values() if session in sessions]
        self.forget(session, left, now)

    @property
    def wanted(self) -> int:
        """Blocks that are sought."""
        return len(self._wants) + len(self._queued)

    def wants(self) -> Iterator[Cid]:
        """What is sought."""
        yield from (want.cid for want in self._wants.values())
        yield from (cid for cid, _ in self._queued.values())

    # -- messages ----------------------------------------------------------------------------------------------------

    def receive(self, peer: PeerId, message: Received, now: float) -> list[Block]:
        """The blocks of a message that were sought, which they are no more."""
        supplier = self._suppliers.get(peer)
        taken = []
        for block in message.blocks:
            key = block.cid.multihash.to_bytes()
            want = self._wants.get(key)
            if want is None:
                if key in self._queued:
                    del self._queued[key]
                    taken.append(block)
                else:
                    self._unwanted(supplier, block)
                continue
            taken.append(block)
            if supplier is not None:
                told_at = want.told.get(peer)
                supplier.answered(None if told_at is None else now - told_at, now)
                supplier.gave(len(block.data))
                for session in want.sessions:
                    self._sessions.setdefault(session, {})[peer] = None
            self._finish(key, want, peer, now)
        if supplier is not None:
            for cid, here in message.presences:
                self._presence(supplier, cid, here, now)
        self._refill(now)
        return taken

    def due(self) -> list[PeerId]:
        """Peers that have to be told something now."""
        return [peer for peer, each in self._suppliers.items() if each.due]

    def output(self, peer: PeerId) -> tuple[list[Entry], bool]:
        """Take what a peer is to be told: entries, and whether they are all there is. See `message.wants`."""
        supplier = self._suppliers.get(peer)
        return ([], False) if supplier is None else supplier.take()

    def sought(self) -> list[Cid]:
        """CIDs that no connected peer seems to have, since the last call: others should be looked for."""
        found = list(self._sought.values())
        self._sought.clear()
        return found

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """The next instant at which `wake` has something to do."""
        times = [each.cancel_at for each in self._suppliers.values() if each.cancel_at is not None]
        while self._timers:
            at, _, key = self._timers[0]
            want = self._wants.get(key)
            if want is not None and want.due_at == at:
                times.append(at)
                break
            heapq.heappop(self._timers)
        return min(times, default=None)

    def wake(self, now: float) -> None:
        """Time has passed."""
        for supplier in self._suppliers.values():
            supplier.wake(now)
        while self._timers and self._timers[0][0] <= now:
            at, _, key = heapq.heappop(self._timers)
            want = self._wants.get(key)
            if want is None or want.due_at != at:
                continue
            want.due_at = None
            self._overdue(key, want, now)

    def _overdue(self, key: bytes, want: _Want, now: float) -> None:
        giver = None if want.giver is None else self._suppliers.get(want.giver)
        if giver is None:
            self._broadcast(key, want, now)
            return
        quiet_since = max(want.asked_at, giver.heard_at)
        end = min(quiet_since + giver.patience_s, want.asked_at + ANSWER_S)
        if now < end:
            self._call_at(key, want, end)
            return
        giver.let_wait(want.asked_at, now)
        self._give_up_on(key, want, giver, now)
        self._advance(key, want, now)

    def _call_at(self, key: bytes, want: _Want, at: float) -> None:
        want.due_at = at
        self._turn += 1
        heapq.heappush(self._timers, (at, self._turn, key))

    # -- asking ------------------------------------------------------------------------------------------------------

    def _start(self, key: bytes, cid: Cid, sessions: dict[int, None], now: float) -> None:
        want = self._wants[key] = _Want(cid)
        want.sessions = sessions
        self._advance(key, want, now)

    def _advance(self, key: bytes, want: _Want, now: float) -> None:
        """Ask the best peer for the block; without one, ask all of them whether they have it."""
        candidates = [each for each in self._candidates(want) if each.peer not in want.lacks]
        free = [each for each in candidates if each.has_room]
        if free:
            self._ask_block(key, want, min(free, key=lambda each: each.rank), now)
        elif candidates:
            self._unassigned[key] = None
            want.due_at = None
        elif want.broadcast_at is None:
            self._broadcast(key, want, now)
        elif want.due_at is None:
            self._call_at(key, want, max(now, want.broadcast_at + want.pause_s))

    def _candidates(self, want: _Want) -> list[Supplier]:
        """Who has it; else who gave something to its sessions; else, once all were asked, who cannot be asked first."""
        haves = [self._suppliers[peer] for peer in want.haves if peer not in want.lacks]
        if haves:
            return haves
        if want.broadcast_at is None:
            peers = dict.fromkeys(peer for each in want.sessions for peer in self._sessions.get(each, ()))
            return [self._suppliers[peer] for peer in peers if peer not in want.lacks]
        return [each for each in self._suppliers.values() if not each.version.has_presences]

    def _ask_block(self, key: bytes, want: _Want, giver: Supplier, now: float) -> None:
        self._unassigned.pop(key, None)
        want.giver, want.asked_at = giver.peer, now
        want.told[giver.peer] = now
        giver.asked[key] = None
        giver.tell(self._entry(want, True, True))
        self._call_at(key, want, now + giver.patience_s)
        for session in want.sessions:
            for peer in self._sessions.get(session, ()):
                other = self._suppliers[peer]
                if peer not in want.told and peer not in want.lacks and other.version.has_presences:
                    want.told[peer] = now
                    other.tell(self._entry(want, False, True))

    def _ask_presence(self, want: _Want, supplier: Supplier, now: float) -> None:
        want.told[supplier.peer] = now
        supplier.tell(self._entry(want, False, False))

    def _broadcast(self, key: bytes, want: _Want, now: float) -> None:
        """Ask everybody whether they have it; not the first time, ask for other peers too."""
        if want.broadcast_at is not None:
            want.pause_s = min(LONGEST_PAUSE_S, 2 * want.pause_s)
            self._sought[key] = want.cid
        want.broadcast_at = now
        want.lacks.clear()
        want.due_at = None
        strangers = 0
        for supplier in self._suppliers.values():
            told_at = want.told.get(supplier.peer)
            if not supplier.version.has_presences or (told_at is not None and now - told_at < REPEAT_S):
                continue
            strangers += not supplier.useful
            if supplier.useful or strangers <= MAX_STRANGERS:
                self._ask_presence(want, supplier, now)
        self._advance(key, want, now)

    def _presence(self, supplier: Supplier, cid: Cid, here: bool, now: float) -> None:
        key, peer = cid.multihash.to_bytes(), supplier.peer
        want = self._wants.get(key)
        if want is None or peer not in want.told:
            return
        supplier.answered(now - want.told[peer], now)
        if here:
            want.lacks.pop(peer, None)
            want.haves[peer] = None
            for session in want.sessions:
                self._sessions.setdefault(session, {})[peer] = None
            giver = None if want.giver is None else self._suppliers[want.giver]
            if giver is not None and not giver.version.has_presences:
                self._give_up_on(key, want, giver, now)
        else:
            want.haves.pop(peer, None)
            want.lacks[peer] = None
            if want.giver == peer:
                want.giver, want.due_at = None, None
                supplier.asked.pop(key, None)
        if want.giver is None:
            self._advance(key, want, now)

    def _give_up_on(self, key: bytes, want: _Want, giver: Supplier, now: float) -> None:
        giver.asked.pop(key, None)
        giver.cancel(want.cid.to_bytes(), now)
        want.giver, want.due_at = None, None
        want.told.pop(giver.peer, None)
        want.haves.pop(giver.peer, None)
        want.lacks[giver.peer] = None

    def _finish(self, key: bytes, want: _Want, giver: PeerId | None, now: float) -> None:
        """A want is over, met by ``giver`` or nobody: whoever else was told is told so."""
        del self._wants[key]
        self._unassigned.pop(key, None)
        self._sought.pop(key, None)
        if want.giver is not None:
            self._suppliers[want.giver].asked.pop(key, None)
        for peer in want.told:
            if peer != giver:
                self._suppliers[peer].cancel(want.cid.to_bytes(), now)

    def _refill(self, now: float) -> None:
        """Give out what waited for room."""
        while self._queued and len(self._wants) < MAX_LIVE:
            key = next(iter(self._queued))
            cid, sessions = self._queued.pop(key)
            self._start(key, cid, sessions, now)
        if self._unassigned and any(each.has_room for each in self._suppliers.values()):
            for key in list(self._unassigned):
                del self._unassigned[key]
                self._advance(key, self._wants[key], now)
                if key in self._unassigned:
                    break

    def _unwanted(self, supplier: Supplier | None, block: Block) -> None:
        self.unwanted += 1
        if supplier is not None:
            supplier.unwanted_bytes += len(block.data)

    def floods(self, peer: PeerId) -> bool:
        """Whether a peer sent far more that nobody asked for than what was wanted."""
        supplier = self._suppliers.get(peer)
        if supplier is None:
            return False
        return supplier.unwanted_bytes > MAX_UNWANTED_BYTES + supplier.received_bytes

    def _entry(self, want: _Want, block: bool, send_dont_have: bool) -> Entry:
        priority = self._priority
        self._priority = priority - 1 if priority > 1 else TOP_PRIORITY
        return Entry(
            block=want.cid.to_bytes(),
            priority=priority,
            want_type=WantType.BLOCK if block else WantType.HAVE,
            send_dont_have=send_dont_have,
        )
