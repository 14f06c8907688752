"""What of gossip is listened to: floods by one origin through many neighbours, and what honest ones send each other."""

from __future__ import annotations

from mesh.protocols.beam.abuse import AbuseWatch
from mesh.protocols.beam.gossip_message import HEARTBEAT, GossipMessage, sign_message
from mesh.protocols.beam.hearing import MAX_ORIGINS, ORIGIN_BURST, ORIGIN_PER_S, Hearing, Judgement, Pace
from tests.protocols.beam.signers import KEYS, NOW_MS, NOW_S, PEERS

OWN, FLOODER, ONE, OTHER = PEERS[:4]


def beat(who: int, number: int, ts_ms: int = NOW_MS) -> GossipMessage:
    return sign_message(KEYS[who], HEARTBEAT, str(number), ts_ms, {"services": []})


def test_what_one_origin_says_is_bounded_whoever_hands_it_on() -> None:
    watch = AbuseWatch()
    hearing = Hearing(OWN, watch)
    judged = []
    for number in range(int(ORIGIN_BURST) + 50):
        carrier = (ONE, OTHER)[number % 2]
        now = number / 20
        assert hearing.room(carrier, 100, now), "neither carrier hands on too much"
        judged.append(hearing.judge(carrier, beat(1, number).envelope, False, now, NOW_S).judgement)
    taken = judged.count(Judgement.NEW)
    assert ORIGIN_BURST <= taken <= ORIGIN_BURST + ORIGIN_PER_S * len(judged) / 20
    assert set(judged) == {Judgement.NEW, Judgement.EXCESSIVE}
    assert watch.score(ONE, 10.0) == watch.score(OTHER, 10.0) == 1.0, "carriers are not blamed"
    late = hearing.judge(ONE, beat(4, 0).envelope, False, 10.0, NOW_S)
    assert late.judgement is Judgement.NEW
    assert late.message == beat(4, 0)


def test_who_goes_on_saying_too_much_is_not_passed_on_at_all() -> None:
    watch = AbuseWatch()
    hearing = Hearing(OWN, watch)
    known: set[int] = set()
    for number in range(240 * 40):
        now, said = number / 40, number // 5
        if number % 5 == 0:
            envelope = beat(1, said).envelope
        carrier = (ONE, OTHER)[number % 2]
        if hearing.judge(carrier, envelope, said in known, now, NOW_S).judgement is Judgement.NEW:
            known.add(said)
            heard_at = now
    assert heard_at < 230.0
    assert not hearing.admits(PEERS[1], 239.0)
    assert {(each.detector, each.peer) for each in watch.alerts(240.0)} == {("endless-talk", PEERS[1])}
    assert watch.score(ONE, 240.0) == watch.score(OTHER, 240.0) == 1.0, "carriers are not blamed"


def test_who_says_much_at_once_is_not_blamed() -> None:
    watch = AbuseWatch()
    hearing = Hearing(OWN, watch)
    taken: set[int] = set()
    for number in range(250 * 6):
        said = number // 6
        if hearing.judge(ONE, beat(1, said).envelope, said in taken, 0.0, NOW_S).judgement is Judgement.NEW:
            taken.add(said)
    assert len(taken) == ORIGIN_BURST
    assert watch.alerts(0.0) == [], "a node that announces 250 services, each heard of six neighbours"


def test_a_large_message_speaks_against_who_signed_it() -> None:
    watch = AbuseWatch()
    hearing = Hearing(OWN, watch)
    hearing.judge(ONE, beat(1, 0).envelope, False, 0.0, NOW_S)
    services = [f"{number:03}".rjust(200, "a") + ".local" for number in range(256)]
    large = sign_message(KEYS[1], HEARTBEAT, "1", NOW_MS, {"services": services}).envelope
    assert hearing.room(ONE, len(large), 1.0)
    assert hearing.judge(ONE, large, False, 1.0, NOW_S).judgement is Judgement.NEW
    assert {(each.detector, each.peer) for each in watch.alerts(1.0)} == {("large-messages", PEERS[1])}


def test_judgements() -> None:
    hearing = Hearing(OWN, AbuseWatch())
    good = beat(1, 1).envelope
    for envelope, known, now_s, expected in (
        (good, True, NOW_S, Judgement.REPEATED),
        (good[:-1] + bytes([good[-1] ^ 1]), False, NOW_S, Judgement.FORGED),
        (good, False, NOW_S + 121, Judgement.STALE),
        (beat(0, 1).envelope, False, NOW_S, Judgement.OWN),
    ):
        heard = hearing.judge(ONE, envelope, known, 0.0, now_s)
        assert (heard.judgement, heard.message) == (expected, None)


def test_who_forges_is_listened_to_no_more() -> None:
    hearing = Hearing(OWN, AbuseWatch())
    for number in range(300):
        hearing.judge(FLOODER, b"x", False, float(number), NOW_S)
    assert not hearing.admits(FLOODER, 300.0)
    assert hearing.admits(ONE, 300.0)


def test_origins_that_are_remembered_are_bounded() -> None:
    hearing = Hearing(OWN, AbuseWatch())
    for number in range(MAX_ORIGINS + 10):
        hearing._allowance(type(OWN)(b"\x00\x24\x08\x01\x12\x20" + number.to_bytes(32, "big")), 0.0).take(0.0)
    assert len(hearing._origins) == MAX_ORIGINS


def test_nobody_is_sent_more_than_is_listened_to() -> None:
    watch, pace = AbuseWatch(), Pace()
    hearing = Hearing(OWN, watch)
    for number in range(1000):
        now = number / 50
        if pace.take(ONE, 1, now):
            assert hearing.room(ONE, 100, now)
    assert watch.alerts(20.0) == []
    assert pace.room(OTHER, 0.0) > 0
    assert not pace.take(OTHER, pace.room(OTHER, 0.0) + 1, 0.0)
