"""Exchanges that others opened: their messages are judged and stored, our messages' receipts kept.

What has come of a stream is one transaction, up to the next message that comes in pieces; its verdicts are written once
it is committed. A peer has one exchange at a time: a newer stream ends the older one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mesh.apps.agent.delivery.handover import IDLE_S, check_receipts, keep_receipts
from mesh.apps.agent.delivery.inbox import Inbox, Outcome, Stored
from mesh.apps.agent.delivery.ledger import Journal, Ledger
from mesh.apps.agent.delivery.proofs import Checked
from mesh.apps.agent.records import DeliveryChanged
from mesh.codecs.agent_delivery import (
    MAX_FRAME_BYTES,
    MAX_RECEIPTS,
    Acknowledgement,
    Frame,
    Verdict,
    VerdictCode,
)
from mesh.errors import EndOfStream, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.protocols.agent_delivery.taking import (
    AcknowledgementsCame,
    Came,
    Offered,
    PieceCame,
    ReceiptsOffered,
    Taking,
)

OPEN_S: Final = 60.0
"""A stream without a frame for so long is ended."""
FRAMES_AT_ONCE: Final = 64


@dataclass(slots=True)
class Answers:
    """What one transaction came to."""

    frames: list[Frame] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    changed: list[DeliveryChanged] = field(default_factory=list)
    expected: Offered | None = None
    offset: int = 0
    postponed: Verdict | None = None


class Reception:
    """Serves agent delivery. ``on_stored`` is `keep_receipts`'; ``tell`` hears of each committed batch, ``ended`` of each
    peer whose exchange is over."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        inbox: Inbox,
        own: PeerId,
        now_ms: Callable[[], int],
        on_stored: Callable[[PeerId], Callable[[sqlite3.Connection, str, str, bytes], None]],
        tell: Callable[[list[Stored], list[DeliveryChanged]], None],
        ended: Callable[[PeerId], None],
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._inbox = inbox
        self._own = own
        self._now_ms = now_ms
        self._on_stored = on_stored
        self._tell = tell
        self._ended = ended
        self._current: dict[PeerId, Stream] = {}
        self._turns: dict[PeerId, asyncio.Lock] = {}

    async def serve(self, stream: Stream) -> None:
        """One exchange. Raises `MeshError`, which resets the stream."""
        peer = stream.connection.peer
        older = self._current.get(peer)
        self._current[peer] = stream
        if older is not None:
            older.reset()
        turn = self._turns.setdefault(peer, asyncio.Lock())
        try:
            async with turn:
                await self._exchange(stream, peer)
        except TimeoutError as error:
            raise TimedOut(f"agent delivery: {peer} was silent, or took no answers") from error
        finally:
            if self._current.get(peer) is stream:
                del self._current[peer]
                self._turns.pop(peer, None)
                self._ended(peer)

    async def _exchange(self, stream: Stream, peer: PeerId) -> None:
        taking = Taking()
        offered: Offered | None = None
        postponed: Verdict | None = None
        queue: list[Came] = []
        while True:
            if not queue:
                try:
                    queue = await self._read(stream, taking)
                except EndOfStream:
                    return
            batch = _until_large(queue)
            del queue[: len(batch)]
            checked = [
                check_receipts(each.receipts, self._own, peer)
                for each in batch
                if isinstance(each, ReceiptsOffered)
            ]
            work = partial(self._commit, peer, batch, checked, offered, postponed)
            answers = await self._journal.write(work)
            postponed = answers.postponed
            if answers.expected is not None:
                offered = answers.expected
                taking.expect(offered, answers.offset)
            self._tell(answers.stored, answers.changed)
            async with asyncio.timeout(IDLE_S):
                for frame in answers.frames:
                    await stream.write_message(frame.encode())

    async def _read(self, stream: Stream, taking: Taking) -> list[Came]:
        """What has come, at least one frame."""
        async with asyncio.timeout(OPEN_S):
            came = taking.receive(Frame.decode(await stream.read_message(MAX_FRAME_BYTES)))
        for _ in range(FRAMES_AT_ONCE):
            if _is_large(came) or not stream.pending:
                break
            try:
                async with asyncio.timeout(IDLE_S):
                    frame = Frame.decode(await stream.read_message(MAX_FRAME_BYTES))
            except EndOfStream:
                break
            came += taking.receive(frame)
        return came

    def _commit(
        self,
        peer: PeerId,
        batch: list[Came],
        checked: list[list[Checked]],
        offered: Offered | None,
        postponed: Verdict | None,
        database: sqlite3.Connection,
    ) -> Answers:
        answers = Answers(postponed=postponed)
        told = iter(checked)
        receipts: list[bytes] = []
        for each in batch:
            match each:
                case Offered():
                    self._take(database, peer, each, answers)
                case PieceCame():
                    assert offered is not None
                    judged = self._inbox.piece(database, peer, offered, each)
                    if judged is not None:
                        _answer(answers, judged)
                case AcknowledgementsCame(acknowledged):
                    receipts += self._inbox.acknowledged(database, peer, acknowledged)
                case ReceiptsOffered():
                    kept = next(told)
                    answers.changed += keep_receipts(
                        database, self._ledger, str(peer), kept, self._now_ms(), self._on_stored(peer)
                    )
                    answers.frames.append(Frame(acknowledged=[_acknowledged(one) for one in kept]))
        for at in range(0, len(receipts), MAX_RECEIPTS):
            answers.frames.append(Frame(receipts=receipts[at : at + MAX_RECEIPTS]))
        return answers

    def _take(self, database: sqlite3.Connection, peer: PeerId, offered: Offered, answers: Answers) -> None:
        """Judge an offer. Behind a postponed one all are, since messages keep their order."""
        later = answers.postponed
        if later is not None:
            verdict = Verdict(
                message_id=offered.message_id, code=later.code, retry_ms=later.retry_ms, reason=later.reason
            )
            answers.frames.append(Frame(verdict=verdict))
            return
        outcome = self._inbox.offered(database, peer, offered)
        _answer(answers, outcome)
        if outcome.expected:
            answers.expected, answers.offset = offered, outcome.verdict.offset or 0
        elif outcome.verdict.code == VerdictCode.LATER:
            answers.postponed = outcome.verdict


def _answer(answers: Answers, outcome: Outcome) -> None:
    answers.frames.append(Frame(verdict=outcome.verdict))
    if outcome.stored is not None:
        answers.stored.append(outcome.stored)
        if outcome.stored.changed is not None:
            answers.changed.append(outcome.stored.changed)


def _acknowledged(checked: Checked) -> Acknowledgement:
    return Acknowledgement(message_id=checked.receipt.message_id, state=checked.receipt.state)


def _is_large(came: list[Came]) -> bool:
    return bool(came) and isinstance(came[-1], Offered) and came[-1].body is None


def _until_large(queue: list[Came]) -> list[Came]:
    """What one transaction takes: all up to a message that comes in pieces, that one included."""
    for number, each in enumerate(queue):
        if isinstance(each, Offered) and each.body is None:
            return queue[: number + 1]
    return list(queue)
