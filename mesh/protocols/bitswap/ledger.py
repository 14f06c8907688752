"""The server: which want is answered by what, and whose turn it is (boxo's decision engine; IPFS specs, bitswap).

A want for a block that is here is answered by the block; one for a presence by HAVE, or by the block itself when that
has at most 1,024 bytes. What is not here is answered by DONT_HAVE where the peer asked for that, and remembered either
way: it is answered when the block comes. Replies have about 16 KiB, a larger block goes alone, and of one peer at most
1 MiB is on its way. The turn is that of the peer that was given the least so far; who comes or comes back starts where
the others are, so nobody saves turns up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh.codecs.bitswap import Entry, WantType
from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.multiformats.multihash import IDENTITY
from mesh.protocols.bitswap.debtor import MAX_WANTS, Answer, Debtor, Want
from mesh.protocols.bitswap.message import MAX_CID_BYTES

REPLACED_BYTES: Final = 1024
"""A block of at most so many bytes is sent where only its presence was asked for."""
REPLY_BYTES: Final = 16 * 1024
OUTSTANDING_BYTES: Final = 1024 * 1024

SizeOf = Callable[[Cid], int | None]
"""The bytes of a block that is here, else None."""


@dataclass(slots=True)
class Reply:
    """What a peer is sent next. ``wants_dont_have`` names those of the blocks for which DONT_HAVE is wanted if they are
    gone meanwhile."""

    blocks: list[Cid] = field(default_factory=list)
    presences: list[tuple[bytes, bool]] = field(default_factory=list)
    wants_dont_have: set[bytes] = field(default_factory=set)
    cost: int = 0
    pending_bytes: int = 0


class Ledger:
    """Wants and answers of all peers. ``size_of`` looks into the store."""

    def __init__(self, size_of: SizeOf) -> None:
        self._size_of = size_of
        self._debtors: dict[PeerId, Debtor] = {}
        self._owing: dict[PeerId, Debtor] = {}
        """Those for whom answers wait."""
        self._wanting: dict[bytes, dict[tuple[PeerId, bytes], None]] = {}
        """Who wants something of a multihash, by which CID."""
        self._level = 0
        """What the peer whose turn it was last had been charged."""
        self.too_long = self.unreadable = 0

    # -- peers -------------------------------------------------------------------------------------------------------

    @property
    def peers(self) -> Sequence[PeerId]:
        return tuple(self._debtors)

    def debtor(self, peer: PeerId) -> Debtor | None:
        """What is known of a peer that was heard."""
        return self._debtors.get(peer)

    def disconnected(self, peer: PeerId) -> None:
        """Forget a peer and all it wants."""
        debtor = self._debtors.pop(peer, None)
        self._owing.pop(peer, None)
        for want in debtor.wants.values() if debtor is not None else ():
            self._unindex(peer, want)

    # -- wants -------------------------------------------------------------------------------------------------------

    def receive(self, peer: PeerId, entries: Sequence[Entry], full: bool) -> bool:
        """A peer's wantlist. False for one that no working client sends, of a CID that holds its content itself: the
        peer is to be disconnected."""
        debtor = self._debtors.get(peer)
        if debtor is None:
            debtor = self._debtors[peer] = Debtor()
        if full:
            for name in list(debtor.wants):
                self._forget(peer, debtor, name)
        for entry in entries:
            if entry.cancel:
                if entry.block not in debtor.wants and _is_identity(entry.block):
                    return False
                self._forget(peer, debtor, entry.block)
        asked = [each for each in entries if not each.cancel]
        if len(asked) > MAX_WANTS:
            debtor.overflowed += len(asked) - MAX_WANTS
            asked = heapq.nlargest(MAX_WANTS, asked, key=lambda each: each.priority)
        return all(self._want(peer, debtor, entry) for entry in asked)

    def _want(self, peer: PeerId, debtor: Debtor, entry: Entry) -> bool:
        if len(entry.block) > MAX_CID_BYTES:
            self.too_long += 1
            return True
        try:
            cid = Cid.from_bytes(entry.block)
        except DecodeError:
            self.unreadable += 1
            return True
        if cid.multihash.code == IDENTITY:
            return False
        kept, displaced = debtor.add(
            cid, entry.priority, entry.want_type != WantType.HAVE, entry.send_dont_have
        )
        if displaced is not None:
            self._unindex(peer, displaced)
        if kept:
            want = debtor.wants[cid.to_bytes()]
            self._wanting.setdefault(cid.multihash.to_bytes(), {})[peer, cid.to_bytes()] = None
            self._answer(peer, debtor, want, self._size_of(cid))
        return True

    def _answer(self, peer: PeerId, debtor: Debtor, want: Want, size: int | None) -> None:
        if not debtor.has_answers:
            debtor.charged = max(debtor.charged, self._level)
            self._owing[peer] = debtor
        if size is None:
            if want.send_dont_have:
                debtor.owe(Answer(want.cid, None, here=False))
        elif want.block or size <= REPLACED_BYTES:
            debtor.owe(Answer(want.cid, size, here=True))
        else:
            debtor.owe(Answer(want.cid, None, here=True))

    def _forget(self, peer: PeerId, debtor: Debtor, name: bytes) -> None:
        want = debtor.forget(name)
        if want is not None:
            self._unindex(peer, want)

    def _unindex(self, peer: PeerId, want: Want) -> None:
        key = want.cid.multihash.to_bytes()
        wanting = self._wanting[key]
        del wanting[peer, want.cid.to_bytes()]
        if not wanting:
            del self._wanting[key]

    # -- blocks ------------------------------------------------------------------------------------------------------

    def added(self, cids: Iterable[tuple[Cid, int]]) -> None:
        """Blocks are here now, of so many bytes: whoever waited for them is answered."""
        for cid, size in cids:
            for peer, name in tuple(self._wanting.get(cid.multihash.to_bytes(), ())):
                debtor = self._debtors[peer]
                self._answer(peer, debtor, debtor.wants[name], size)

    # -- replies -----------------------------------------------------------------------------------------------------

    def next_reply(self, busy: Callable[[PeerId], bool] = lambda peer: False) -> tuple[PeerId, Reply] | None:
        """The reply of the peer whose turn it is, of those that are not busy and for whom less than 1 MiB is under way;
        call `sent` when it has gone."""
        chosen: tuple[PeerId, Debtor] | None = None
        for peer, debtor in list(self._owing.items()):
            if not debtor.has_answers:
                del self._owing[peer]
            elif (
                debtor.outstanding_bytes < OUTSTANDING_BYTES
                and not busy(peer)
                and (chosen is None or debtor.charged < chosen[1].charged)
            ):
                chosen = peer, debtor
        if chosen is None:
            return None
        peer, debtor = chosen
        self._level = debtor.charged
        reply = self._fill(peer, debtor)
        debtor.charged += reply.cost
        debtor.outstanding_bytes += reply.cost
        return peer, reply

    def _fill(self, peer: PeerId, debtor: Debtor) -> Reply:
        reply = Reply()
        answer = debtor.next_answer(None)
        while answer is not None:
            name = answer.cid.to_bytes()
            want = debtor.wants[name]
            if answer.size is not None:
                reply.blocks.append(answer.cid)
                if want.send_dont_have:
                    reply.wants_dont_have.add(name)
                self._forget(peer, debtor, name)
            else:
                reply.presences.append((name, answer.here))
                if answer.here and not want.block:
                    self._forget(peer, debtor, name)
            reply.cost += answer.cost
            answer = debtor.next_answer(REPLY_BYTES - reply.cost)
        reply.pending_bytes = debtor.waiting_bytes
        return reply

    def sent(self, peer: PeerId, reply: Reply, block_bytes: int) -> None:
        """A reply has left, with so many bytes of blocks, or never will."""
        debtor = self._debtors.get(peer)
        if debtor is not None:
            debtor.outstanding_bytes = max(0, debtor.outstanding_bytes - reply.cost)
            debtor.sent_bytes += block_bytes

    def received(self, peer: PeerId, block_bytes: int) -> None:
        """The peer gave us so many bytes of blocks."""
        debtor = self._debtors.get(peer)
        if debtor is not None:
            debtor.received_bytes += block_bytes


def _is_identity(cid: bytes) -> bool:
    """Whether a binary CID, which may be anything, is one that holds its content."""
    if len(cid) > MAX_CID_BYTES or cid[:1] != b"\x01":
        return False
    try:
        return Cid.from_bytes(cid).multihash.code == IDENTITY
    except DecodeError:
        return False
