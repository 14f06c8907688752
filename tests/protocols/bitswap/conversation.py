"""Clients and servers of several peers, talking in memory: what one says the other hears after a time that is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.codecs.keys import KeyType
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block
from mesh.multiformats.cid import RAW, Cid
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.client import Client
from mesh.protocols.bitswap.ledger import Ledger
from mesh.protocols.bitswap.version import Version


def peer(_number: int = 0) -> PeerId:
    return PeerId.from_public_key(PrivateKey.generate(KeyType.ED25519).public)


def block(text: str, size: int = 0) -> Block:
    return Block.of(text.encode().ljust(size, b"."), RAW)


@dataclass
class Side:
    """A server with blocks, at a distance of ``delay_s``; ``mute`` hears and says nothing."""

    own: PeerId = field(default_factory=peer)
    blocks: dict[Cid, Block] = field(default_factory=dict)
    version: Version = Version.V1_2
    delay_s: float = 0.01
    mute: bool = False
    gave: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(lambda cid: len(self.blocks[cid].data) if cid in self.blocks else None)

    def add(self, *blocks: Block) -> None:
        self.blocks |= {each.cid: each for each in blocks}
        self.ledger.added((each.cid, len(each.data)) for each in blocks)


class Conversation:
    """One client among sides. Time goes from one message or deadline to the next."""

    def __init__(self, *sides: Side) -> None:
        self.client = Client()
        self.own = peer()
        self.now = 0.0
        self.sides = {each.own: each for each in sides}
        self.mail: list[tuple[float, int, Side, bool, bytes]] = []
        self.found: list[Block] = []
        self.sought: list[Cid] = []
        self.told: list[tuple[PeerId, bytes]] = []
        self._number = 0
        for side in sides:
            self.client.connected(side.own, side.version, self.now)

    def _post(self, side: Side, up: bool, data: bytes) -> None:
        self._number += 1
        self.mail.append((self.now + side.delay_s, self._number, side, up, data))

    def _flush(self) -> None:
        for name in self.client.due():
            entries, full = self.client.output(name)
            data = message.wants(entries, full)
            self.told.append((name, data))
            self._post(self.sides[name], True, data)
        for side in self.sides.values():
            while not side.mute and (turn := side.ledger.next_reply()) is not None:
                to, reply = turn
                blocks = [side.blocks[each] for each in reply.blocks]
                side.gave += len(blocks)
                self._post(
                    side, False, message.answers(side.version, blocks, reply.presences, reply.pending_bytes)
                )
                side.ledger.sent(to, reply, sum(len(each.data) for each in blocks))
        self.sought += self.client.sought()

    def run(self, until: float, enough: int | None = None) -> None:
        """Let everything happen up to an instant, or until so many blocks were found."""
        self._flush()
        while enough is None or len(self.found) < enough:
            self.mail.sort(key=lambda each: each[:2])
            deadline = self.client.deadline()
            times = [each[0] for each in self.mail[:1]] + ([] if deadline is None else [deadline])
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            while self.mail and self.mail[0][0] <= self.now:
                _, _, side, up, data = self.mail.pop(0)
                self._deliver(side, up, data)
            self.client.wake(self.now)
            self._flush()

    def _deliver(self, side: Side, up: bool, data: bytes) -> None:
        received = message.read(data)
        if not up:
            self.found += self.client.receive(side.own, received, self.now)
        elif not side.mute:
            assert side.ledger.receive(self.own, received.entries, received.full)

    def want(self, blocks: Iterable[Block], session: int = 1) -> None:
        self.client.want(session, [each.cid for each in blocks], self.now)
