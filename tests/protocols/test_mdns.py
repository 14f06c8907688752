"""The mDNS machine: when it asks and answers, what it believes, and what a flood costs it."""

from __future__ import annotations

import itertools

import pytest

from mesh.codecs.mdns import encode_txt
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols import mdns
from mesh.protocols.mdns import (
    ANSWER_DELAY_S,
    ANSWER_PAUSE_S,
    INSTANCES_OF_PEER,
    LONGEST_QUERY_S,
    LONGEST_TTL_S,
    MAX_INSTANCES,
    MAX_PEERS,
    PACKETS_AT_ONCE,
    STRINGS_READ,
    TTL_S,
    TXT_BYTES,
    Answer,
    Heard,
    Mdns,
    PeerHeard,
    Query,
    instance_name,
    is_publishable,
    peers_in,
    txt_of,
)

SERVICE = "_p2p._udp.local"
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
THERE = Multiaddr.parse("/ip4/192.0.2.2/udp/4001/quic-v1")
LOCAL, A, B = (PeerId.from_public_key(PrivateKey.from_seed(bytes([each]) * 32).public) for each in range(3))


def stranger(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


def machine(peers_per_minute: int = 1_000_000) -> Mdns:
    return Mdns(SERVICE, "own", LOCAL, peers_per_minute, lambda: 0.5)


def linked(now: float = 0.0, *, peers_per_minute: int = 1_000_000) -> Mdns:
    """One with a link, past its first query and announcements."""
    made = machine(peers_per_minute)
    made.set_link("eth0", [HERE], now - 100)
    for at in (-99.0, -98.0, -97.0):
        made.wake(now + at)
    made.output()
    return made


def told(name: str, peer: PeerId, *addresses: Multiaddr, ttl_s: float = TTL_S) -> Heard:
    full = f"{name}.{SERVICE}"
    return Heard(pointers=((SERVICE, full, ttl_s),), texts=((full, ttl_s, txt_of(addresses, peer)),))


def life(made: Mdns, until: float) -> list[tuple[float, Query | Answer]]:
    """What it says, and when, if nobody else says anything."""
    said = []
    while (at := made.deadline()) is not None and at <= until:
        made.wake(at)
        said += [(at, each) for each in made.output()]
    return said


def test_a_new_link_is_asked_and_told_at_once_and_then_asked_ever_more_rarely() -> None:
    made = machine()
    assert made.deadline() is None
    made.set_link("eth0", [HERE], 100.0)
    said = life(made, 1000.0)
    answers = [(at, each) for at, each in said if isinstance(each, Answer)]
    assert [each for _, each in answers] == [
        Answer("eth0", f"own.{SERVICE}", txt_of([HERE], LOCAL), TTL_S, 4001, ("192.0.2.1",))
    ] * 2
    assert answers[1][0] - answers[0][0] == ANSWER_PAUSE_S
    asked = [at for at, each in said if isinstance(each, Query)]
    assert {each for _, each in said if isinstance(each, Query)} == {Query("eth0", SERVICE)}
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert asked[0] - 100.0 < 0.2
    assert pauses[0] < 1.2
    assert [round(each, 6) for each in pauses] == sorted(round(each, 6) for each in pauses)
    assert LONGEST_QUERY_S <= pauses[-1] <= 1.1 * LONGEST_QUERY_S < TTL_S


def test_a_question_is_answered_after_a_moment_and_once_a_second() -> None:
    made = linked()
    for at in range(50):
        made.receive("eth0", Heard(asked=(SERVICE,)), at / 100)
    said = [at for at, each in life(made, 3.0) if isinstance(each, Answer)]
    least, most = ANSWER_DELAY_S
    assert len(said) == 1
    assert least <= said[0] <= most
    made.receive("eth0", Heard(asked=(SERVICE,)), 0.51)
    made.receive("eth0", Heard(asked=(SERVICE,)), 0.52)
    again = [at for at, each in life(made, 9.0) if isinstance(each, Answer)]
    assert len(again) == 1
    assert again[0] >= said[0] + ANSWER_PAUSE_S


@pytest.mark.parametrize(
    "heard",
    [
        Heard(asked=("_other._udp.local",)),
        Heard(asked=(f"someone.{SERVICE}",)),
        Heard(asked=(SERVICE,), known=frozenset([f"own.{SERVICE}"])),
        Heard(pointers=((SERVICE, f"own.{SERVICE}", 120.0),)),
        Heard(),
    ],
)
def test_what_needs_no_answer(heard: Heard) -> None:
    made = linked()
    made.receive("eth0", heard, 0.0)
    assert not [each for _, each in life(made, 5.0) if isinstance(each, Answer)]


def test_its_own_name_is_a_question_too() -> None:
    made = linked()
    made.receive("eth0", Heard(asked=(made.instance,)), 0.0)
    assert [each for _, each in life(made, 1.0) if isinstance(each, Answer)]


def test_who_is_nowhere_says_nothing() -> None:
    made = machine()
    made.set_link("eth0", [Multiaddr.parse("/ip4/192.0.2.1/tcp/1/ws")], 0.0)
    made.receive("eth0", Heard(asked=(SERVICE,)), 0.0)
    assert {type(each) for _, each in life(made, 100.0)} == {Query}
    made.close()
    assert made.output() == []


def test_other_addresses_are_announced() -> None:
    made = linked()
    made.set_link("eth0", [HERE], 0.0)
    assert not [each for _, each in life(made, 5.0) if isinstance(each, Answer)]
    six = Multiaddr.parse("/ip6/2001:db8::1/tcp/4002")
    made.set_link("eth0", [THERE, six, HERE], 10.0)
    said = [each for _, each in life(made, 20.0) if isinstance(each, Answer)]
    assert [each.txt for each in said] == [txt_of([THERE, six, HERE], LOCAL)] * 2
    assert [(each.port, each.hosts) for each in said] == [(4001, ("192.0.2.2", "2001:db8::1"))] * 2


def test_the_end_takes_everything_back() -> None:
    made = linked()
    made.set_link("wlan0", [THERE], 0.0)
    made.close()
    said = made.output()
    assert [(each.link, each.ttl_s) for each in said if isinstance(each, Answer)] == [
        ("eth0", 0.0),
        ("wlan0", 0.0),
    ]
    made.receive("eth0", told("x", A, HERE), 0.0)
    assert (made.deadline(), made.events()) == (None, [])


def test_a_peer_is_heard_and_expires() -> None:
    made = linked()
    made.receive("eth0", told("x", A, HERE, THERE), 0.0)
    assert made.events() == [PeerHeard(A, (HERE, THERE), "eth0")]
    made.receive("eth0", told("x", A, HERE, THERE), 50.0)
    assert made.events() == [PeerHeard(A, (HERE, THERE), "eth0")]
    made.wake(50.0 + TTL_S - 1)
    assert A in made.peers
    made.wake(50.0 + TTL_S)
    assert made.peers == {}


def test_a_goodbye_and_a_time_to_live_beyond_reason() -> None:
    made = linked()
    made.receive("eth0", told("x", A, HERE, ttl_s=4_000_000_000), 0.0)
    made.wake(LONGEST_TTL_S)
    assert made.peers == {}
    made.receive("eth0", told("x", A, HERE), 500.0)
    made.receive("eth0", told("x", A, HERE, ttl_s=0), 501.0)
    assert made.peers == {}
    made.receive("eth0", told("x", A, HERE), 600.0)
    made.receive("eth0", Heard(pointers=((SERVICE, f"x.{SERVICE}", 0.0),)), 601.0)
    made.wake(601.0)
    assert made.peers == {}


def test_itself_and_other_services_are_nobody() -> None:
    made = linked()
    made.receive("eth0", told("x", LOCAL, HERE), 0.0)
    made.receive("eth0", told("own", A, HERE), 0.0)
    made.receive("eth0", Heard(texts=(("x._other._udp.local", 120.0, txt_of([HERE], A)),)), 0.0)
    made.receive("eth1", told("x", A, HERE), 0.0)
    assert (made.events(), made.peers) == ([], {})


def test_a_name_without_a_record_is_asked_for_but_not_without_end() -> None:
    made = linked()
    for number in range(1000):
        made.receive("eth0", Heard(pointers=((SERVICE, f"x{number}.{SERVICE}", 120.0),)), 0.0)
    asked = made.output()
    assert asked[0] == Query("eth0", f"x0.{SERVICE}", instance=True)
    assert len(asked) == 10
    made.receive("eth0", Heard(pointers=((SERVICE, "x.elsewhere.local", 120.0),)), 60.0)
    made.receive("eth0", Heard(pointers=(("_other._udp.local", f"y.{SERVICE}", 120.0),)), 60.0)
    assert made.output() == []


def test_a_lie_does_not_push_out_what_a_peer_says() -> None:
    made = linked()
    lies = [Multiaddr.parse(f"/ip4/198.51.100.1/tcp/{port}") for port in range(1, 20)]
    made.receive("eth0", told("liar", A, *lies), 0.0)
    made.receive("eth0", told("x", A, HERE), 0.0)
    assert HERE in made.events()[-1].addresses[:2]
    for number in range(100):
        made.receive("eth0", told(f"liar{number}", A, *lies), 0.0)
    assert len(made.peers[A].said) == INSTANCES_OF_PEER
    assert made.counts("eth0").refused == 100 - (INSTANCES_OF_PEER - 2)


def test_a_flood_of_names_fills_a_bounded_table_and_drains() -> None:
    made = linked()
    made.receive("eth0", told("friend", A, HERE), 0.0)
    for number in range(5000):
        made.receive("eth0", told(f"x{number}", stranger(number), THERE), 0.0)
    assert len(made.peers) == MAX_PEERS == MAX_INSTANCES
    assert A in made.peers
    assert made.counts("eth0").refused == 5001 - MAX_PEERS
    made.wake(TTL_S)
    assert made.peers == {}
    made.receive("eth0", told("late", B, HERE), TTL_S)
    assert list(made.peers) == [B]


def test_new_peers_come_at_a_limited_rate_and_those_refused_later() -> None:
    made = linked(peers_per_minute=60)
    for number in range(1000):
        made.receive("eth0", told(f"x{number % 100}", stranger(number % 100), THERE), 0.0)
    assert len(made.peers) == 60
    made.receive("eth0", told("x99", stranger(99), THERE), 2.0)
    assert stranger(99) in made.peers


def test_packets_come_at_a_limited_rate() -> None:
    made = linked()
    admitted = sum(made.admit("eth0", 0.0) for _ in range(1000))
    assert admitted == PACKETS_AT_ONCE
    assert made.counts("eth0").dropped == 1000 - admitted
    assert made.admit("eth0", 1.0)
    assert not made.admit("eth7", 1.0)


def test_strings_of_other_forms_are_skipped() -> None:
    peer = f"/p2p/{A}"
    strings = [
        b"",
        b"dnsaddr",
        b"dnsaddr=",
        b"dnsaddr=/ip4/192.0.2.1/tcp/4001",
        b"dnsaddr=nonsense",
        b"dnsaddr=\xff",
        f"dnsaddr={peer}".encode(),
        f"other=/ip4/192.0.2.9/tcp/1{peer}".encode(),
        f"dnsaddr={HERE}{peer}".encode(),
        f"dnsaddr=/dns4/node.local/tcp/4001{peer}".encode(),
    ]
    assert peers_in(encode_txt(strings)) == [(A, (HERE, Multiaddr.parse("/dns4/node.local/tcp/4001")))]
    assert peers_in(b"\x05abc") == ()
    assert peers_in(b"") == []


def test_of_a_long_record_the_first_strings_are_read() -> None:
    strings = [f"dnsaddr=/ip4/192.0.2.1/tcp/{port}/p2p/{A}".encode() for port in range(1, 200)]
    ((_, addresses),) = peers_in(encode_txt(strings))
    assert len(addresses) == STRINGS_READ


@pytest.mark.parametrize(
    ("text", "direct"),
    [
        ("/ip4/192.0.2.1/tcp/4001", True),
        ("/ip6/2001:db8::1/udp/4001/quic-v1", True),
        ("/ip4/192.0.2.1/tcp/4001/ws", False),
        ("/ip4/192.0.2.1/tcp/4001/tls/ws", False),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{A}/p2p-circuit", False),
        ("/ip4/192.0.2.1/udp/4001/quic-v1/webtransport", False),
        ("/dns4/example.org/tcp/4001", False),
        ("/dnsaddr/example.org", False),
        ("/memory/7", False),
    ],
)
def test_what_is_told(text: str, direct: bool) -> None:
    address = Multiaddr.parse(text)
    assert is_publishable(address) is direct
    assert bool(txt_of([address], LOCAL)) is direct


def test_a_record_fits_in_a_frame() -> None:
    many = [Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}") for port in range(1, 200)]
    record = txt_of([many[0], *many], LOCAL)
    assert TXT_BYTES - 100 < len(record) <= TXT_BYTES
    ((peer, addresses),) = peers_in(record)
    assert (peer, list(addresses)) == (LOCAL, many[: len(addresses)])


def test_names_are_random_and_of_the_customary_form() -> None:
    for first in range(256):
        name = instance_name(bytes([first, *range(192, 255)]))
        assert 32 <= len(name) <= 63
        assert name.isalnum()
        assert name == name.lower()


def test_the_same_life_twice() -> None:
    def lived() -> list[object]:
        made = linked()
        said: list[object] = list(life(made, 3.0))
        made.receive("eth0", told("x", A, HERE), 3.0)
        made.receive("eth0", Heard(asked=(SERVICE,)), 3.5)
        return [*said, *made.events(), *life(made, 100.0)]

    assert lived() == lived()
    assert mdns.TTL_S == 120
