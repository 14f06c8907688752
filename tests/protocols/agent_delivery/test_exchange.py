"""Both sides of a hand-over, frame by frame, cut wherever a relay might cut them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.agent_delivery import (
    MAX_INLINE_BYTES,
    MAX_PIECE_BYTES,
    Acknowledgement,
    Frame,
    Offer,
    Piece,
    State,
    Verdict,
    VerdictCode,
)
from mesh.errors import PeerError
from mesh.protocols.agent_delivery.offering import (
    MAX_OUTSTANDING,
    Declined,
    Offering,
    Outgoing,
    Postponed,
    ReceiptsCame,
    ReceiptsKept,
    Taken,
)
from mesh.protocols.agent_delivery.taking import (
    AcknowledgementsCame,
    Offered,
    PieceCame,
    ReceiptsOffered,
    Taking,
)


def outgoing(name: str, size: int = 20) -> Outgoing:
    body = random.Random(name).randbytes(size)
    return Outgoing(name, body, hashlib.sha256(body).digest(), 5)


class Inbox:
    """A receiver whose memory outlives streams. ``judge`` may answer for it."""

    def __init__(self, judge: Callable[[Offered], Verdict | None] = lambda _: None) -> None:
        self.bodies: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.order: list[str] = []
        self.judge = judge

    def answer(self, taking: Taking, frame: Frame) -> list[Frame]:
        answers = []
        for came in taking.receive(frame):
            if isinstance(came, Offered):
                answers.append(Frame(verdict=self._offered(taking, came)))
            elif isinstance(came, PieceCame):
                self.parts[came.message_id] = self.parts.get(came.message_id, b"") + came.data
                if came.last:
                    answers.append(
                        Frame(verdict=self._store(came.message_id, self.parts.pop(came.message_id)))
                    )
        return answers

    def _offered(self, taking: Taking, offered: Offered) -> Verdict:
        other = self.judge(offered)
        if other is not None:
            return other
        if offered.message_id in self.bodies:
            return Verdict(message_id=offered.message_id, receipt=b"again")
        if offered.body is not None:
            return self._store(offered.message_id, offered.body)
        offset = len(self.parts.get(offered.message_id, b""))
        taking.expect(offered, offset)
        return Verdict(message_id=offered.message_id, code=VerdictCode.MORE, offset=offset)

    def _store(self, message_id: str, body: bytes) -> Verdict:
        assert message_id not in self.bodies
        self.bodies[message_id] = body
        self.order.append(message_id)
        return Verdict(message_id=message_id, receipt=b"first")


def wire(frame: Frame) -> Frame:
    return Frame.decode(frame.encode())


def hand_over(messages: list[Outgoing], inbox: Inbox, allowed: int = 10**9) -> tuple[list[str], int]:
    """One stream: until nothing is left, or so many bytes were written. Who was taken, and the bytes."""
    offering, taking = Offering(), Taking()
    waiting = list(messages)
    taken: list[str] = []
    used = 0
    while True:
        while waiting and offering.room:
            offering.offer(waiting.pop(0))
        frame = offering.next_frame()
        if frame is None:
            assert offering.done or offering.stopped
            if not waiting or offering.stopped:
                return taken, used
            continue
        used += len(frame.encode())
        if used > allowed:
            return taken, used
        for answer in inbox.answer(taking, wire(frame)):
            events = offering.receive(wire(answer))
            taken += [event.message_id for event in events if isinstance(event, Taken)]


def test_short_and_large_messages_arrive_in_order() -> None:
    messages = [outgoing(str(number), 50_000 if number % 7 == 3 else 20) for number in range(200)]
    inbox = Inbox()
    taken, _ = hand_over(messages, inbox)
    assert taken == inbox.order == [each.message_id for each in messages]
    assert all(inbox.bodies[each.message_id] == each.body for each in messages)


@pytest.mark.parametrize(
    "size", [1, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, MAX_INLINE_BYTES + MAX_PIECE_BYTES, 1 << 20]
)
def test_every_size_arrives_whole(size: int) -> None:
    message, inbox = outgoing("m", size), Inbox()
    assert hand_over([message], inbox)[0] == ["m"]
    assert inbox.bodies["m"] == message.body


def test_a_mebibyte_needs_nine_circuits_of_128_kib() -> None:
    message, inbox = outgoing("m", 1 << 20), Inbox()
    streams = sent = 0
    while "m" not in inbox.bodies:
        streams += 1
        sent += hand_over([message], inbox, 120 * 1024)[1]
    assert streams <= 10
    assert sent < (1 << 20) * 1.15


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 70_000), min_size=1, max_size=8))
def test_cut_anywhere_it_goes_on_and_nothing_comes_twice(seed: int, sizes: list[int]) -> None:
    rng = random.Random(seed)
    messages = [outgoing(f"{seed}-{number}", size) for number, size in enumerate(sizes)]
    inbox, left = Inbox(), list(messages)
    for _ in range(1000):
        taken, _ = hand_over(left, inbox, rng.randrange(80_000))
        left = [each for each in left if each.message_id not in taken]
        if not left:
            break
    assert not left
    assert inbox.order == [each.message_id for each in messages]
    assert all(inbox.bodies[each.message_id] == each.body for each in messages)


def test_nothing_is_offered_behind_a_postponed_message() -> None:
    def judge(offered: Offered) -> Verdict | None:
        if offered.message_id < "2":
            return None
        return Verdict(
            message_id=offered.message_id, code=VerdictCode.LATER, retry_ms=7000, reason="too many"
        )

    inbox = Inbox(judge)
    offering, taking = Offering(), Taking()
    for name in "01234":
        offering.offer(outgoing(name))
    frames = list(iter(offering.next_frame, None))
    events = [
        event
        for frame in frames
        for answer in inbox.answer(taking, frame)
        for event in offering.receive(answer)
    ]
    assert events[:3] == [Taken("0", b"first"), Taken("1", b"first"), Postponed("2", 7000, "too many")]
    assert offering.stopped
    assert not offering.room
    assert offering.next_frame() is None
    assert offering.done


def test_a_declined_message_does_not_hold_up_the_next() -> None:
    inbox = Inbox(
        lambda offered: (
            Verdict(message_id="0", code=VerdictCode.REFUSED, reason="no")
            if offered.message_id == "0"
            else None
        )
    )
    offering, taking = Offering(), Taking()
    for name in "01":
        offering.offer(outgoing(name))
    events = []
    for frame in iter(offering.next_frame, None):
        for answer in inbox.answer(taking, frame):
            events += offering.receive(answer)
    assert events == [Declined("0", "no"), Taken("1", b"first")]


def test_the_window_is_bounded() -> None:
    offering = Offering()
    for number in range(MAX_OUTSTANDING):
        assert offering.room
        offering.offer(outgoing(str(number), 32_000))
    assert not offering.room
    written = 0
    while offering.next_frame() is not None:
        written += 1
    assert 1 < written < 12


def test_an_ending_stream_carries_acknowledgements_alone() -> None:
    offering, taking = Offering(), Taking()
    for name, size in (("0", 20), ("1", 50_000), ("2", 20)):
        offering.offer(outgoing(name, size))
    frames = list(iter(offering.next_frame, None))
    assert offering.unanswered == 2
    answers = [answer for frame in frames for answer in Inbox().answer(taking, frame)]
    for answer in answers:
        offering.receive(answer)
    assert offering.unanswered == 0, "its pieces are still to be written"
    offering.acknowledge([Acknowledgement(message_id="0", state=State.STORED)])
    offering.tell([b"r"])
    ending = offering.next_frame(ending=True)
    assert ending is not None
    assert ending.acknowledged
    assert offering.next_frame(ending=True) is None
    assert offering.next_frame() is not None


def test_acknowledgements_and_receipts_pass() -> None:
    offering, taking = Offering(), Taking()
    offering.acknowledge([Acknowledgement(message_id="m", state=State.STORED)] * 40)
    came = []
    while (frame := offering.next_frame()) is not None:
        came += taking.receive(wire(frame))
    assert [type(each) for each in came] == [AcknowledgementsCame] * 3
    assert offering.receive(Frame(receipts=[b"r"])) == [ReceiptsCame((b"r",))]
    kept = Acknowledgement(message_id="n", state=State.INVOKED)
    assert offering.receive(Frame(acknowledged=[kept])) == [ReceiptsKept((kept,))]
    offering.tell([b"r"] * 20)
    assert not offering.done
    told = [frame.receipts for frame in iter(offering.next_frame, None)]
    assert list(map(len, told)) == [16, 4]
    assert offering.done
    assert taking.receive(Frame(receipts=[b"r"])) == [ReceiptsOffered((b"r",))]
    assert offering.receive(Frame()) == []
    assert taking.receive(Frame()) == []


@pytest.mark.parametrize(
    "frame",
    [
        Frame(verdict=Verdict(message_id="other")),
        Frame(verdict=Verdict(message_id="m", code=VerdictCode.MORE, offset=3)),
        Frame(piece=Piece(offset=0, data=b"x")),
        Frame(offer=Offer(message_id="m", size=1, digest=bytes(32), queued_ms=1)),
    ],
)
def test_who_is_offered_to_may_not_say_this(frame: Frame) -> None:
    offering = Offering()
    offering.offer(outgoing("m"))
    assert offering.next_frame() is not None
    with pytest.raises(PeerError):
        offering.receive(frame)


@pytest.mark.parametrize("offset", [50_000, 2**22])
def test_more_is_wanted_only_of_what_there_is(offset: int) -> None:
    offering = Offering()
    offering.offer(outgoing("m", 50_000))
    assert offering.next_frame() is not None
    assert offering.next_frame() is None
    with pytest.raises(PeerError):
        offering.receive(Frame(verdict=Verdict(message_id="m", code=VerdictCode.MORE, offset=offset)))


GOOD = hashlib.sha256(b"x").digest()


@pytest.mark.parametrize(
    "frame",
    [
        Frame(verdict=Verdict(message_id="m")),
        Frame(piece=Piece(offset=0, data=b"x")),
        Frame(offer=Offer(message_id="", size=1, digest=GOOD, queued_ms=1, body=b"x")),
        Frame(offer=Offer(message_id="m" * 129, size=1, digest=GOOD, queued_ms=1, body=b"x")),
        Frame(offer=Offer(message_id="m", size=0, digest=GOOD, queued_ms=1)),
        Frame(offer=Offer(message_id="m", size=1, digest=b"short", queued_ms=1)),
        Frame(offer=Offer(message_id="m", size=2, digest=GOOD, queued_ms=1, body=b"x")),
        Frame(offer=Offer(message_id="m", size=1, digest=GOOD, queued_ms=1, body=b"y")),
    ],
)
def test_who_offers_may_not_say_this(frame: Frame) -> None:
    with pytest.raises(PeerError):
        Taking().receive(frame)


@pytest.mark.parametrize(
    "piece", [Piece(offset=4, data=b"x"), Piece(offset=5, data=b""), Piece(offset=5, data=b"x" * 6)]
)
def test_a_piece_that_does_not_follow(piece: Piece) -> None:
    taking = Taking()
    taking.expect(Offered("m", 10, GOOD, 1, None), 5)
    with pytest.raises(PeerError):
        taking.receive(Frame(piece=piece))


def test_no_offer_before_the_last_piece() -> None:
    taking = Taking()
    taking.expect(Offered("m", 10, GOOD, 1, None), 5)
    with pytest.raises(PeerError, match="last piece"):
        taking.receive(Frame(offer=Offer(message_id="n", size=1, digest=GOOD, queued_ms=1, body=b"x")))
