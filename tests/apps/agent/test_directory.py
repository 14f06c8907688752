"""The directory and the pulse by clocks of the test's own."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.apps.agent.directory import MAX_PEERS, MAX_SKEW_MS, MAX_TELLERS, TTL_MS, Directory
from mesh.protocols.openclaw.announcement import Announcement
from mesh.protocols.openclaw.attestation import Attestation
from mesh.protocols.openclaw.listing import Listed
from tests.vectors import load

POEM = {"id": "poem", "name": "Poems", "price": 50, "currency": "bsv"}
NOW = 1_795_198_842_588
KNOWN: Any = load("attestation", "bsv")


def said(peer: str, at: int = NOW, services: tuple[dict[str, Any], ...] = (), **more: Any) -> Announcement:
    return Announcement(
        peer, more.get("key", ""), services, ("/ip4/1.2.3.4/tcp/1",), at, more.get("attestation", "")
    )


def test_it_expires_by_the_time_it_was_heard() -> None:
    directory = Directory()
    assert directory.hear(said("a", NOW - 1000), NOW) is not None
    assert directory.hear(said("b", NOW + MAX_SKEW_MS), NOW + 1) is not None
    assert directory.expire(NOW + TTL_MS - 1) == []
    assert directory.expire(NOW + TTL_MS) == ["a"]
    assert directory.expire(NOW + TTL_MS + 1) == ["b"], "a future clock makes nobody immortal"
    assert directory.find() == []


def test_hearing_again_keeps_it_and_is_no_news() -> None:
    directory = Directory()
    first, again = directory.hear(said("a"), NOW), directory.hear(said("a", NOW + 1), NOW + TTL_MS - 1)
    assert first is not None
    assert again is not None
    assert (first[1], again[1]) == (True, False)
    assert directory.expire(NOW + TTL_MS) == []
    assert len(directory) == 1


def test_an_old_announcement_is_not_news_even_after_the_entry_has_gone() -> None:
    directory = Directory()
    directory.hear(said("a", NOW), NOW)
    assert directory.hear(said("a", NOW), NOW + 1) is None
    assert directory.hear(said("a", NOW - 1), NOW + 1) is None
    assert directory.expire(NOW + TTL_MS) == ["a"]
    assert directory.hear(said("a", NOW), NOW + TTL_MS) is None
    directory.expire(NOW + 3 * MAX_SKEW_MS)
    assert directory.hear(said("a", NOW), NOW + 3 * MAX_SKEW_MS) is None, "too far from our clock by then"
    assert directory.refused == 4


def listed(peer: str, at: int = NOW, services: tuple[dict[str, Any], ...] = ()) -> Listed:
    return Listed(peer, ("/ip4/5.6.7.8/tcp/1",), services, at)


def test_hearsay_stands_behind_what_a_peer_said_itself_and_is_not_told_on() -> None:
    directory = Directory()
    directory.hear_of("bob", [listed("alice"), listed("bob"), listed("carol", NOW - 5)], NOW)
    directory.hear_of("dave", [listed("carol", NOW - 3, (POEM,)), listed("erin", NOW + 9)], NOW)
    assert [(each.peer_id, each.heard_from) for each in directory.find()] == [
        ("alice", "bob"),
        ("erin", "dave"),
        ("carol", "dave"),
    ], "nobody is believed of itself here, and the latest of several counts"
    assert [each.last_seen for each in directory.find(peer="erin")] == [NOW], "no clock ahead of ours"
    assert [each.peer_id for each in directory.find(service="poem")] == ["carol"]
    directory.hear(said("alice"), NOW)
    assert directory.find(peer="alice")[0].heard_from == ""
    assert directory.addresses_of("alice") == ("/ip4/1.2.3.4/tcp/1",)
    assert directory.addresses_of("carol") == ("/ip4/5.6.7.8/tcp/1",)
    assert [each.peer_id for each in directory.listing(Random(1))] == ["alice"]


def test_hearsay_expires_by_both_clocks_and_a_teller_has_one_listing() -> None:
    directory = Directory()
    directory.hear_of("bob", [listed("old", NOW - TTL_MS), listed("alice")], NOW)
    assert [each.peer_id for each in directory.find()] == ["alice"]
    directory.hear_of("bob", [listed("carol")], NOW + 1)
    assert [each.peer_id for each in directory.find()] == ["carol"]
    directory.expire(NOW + TTL_MS)
    assert directory.find()
    directory.expire(NOW + TTL_MS + 1)
    assert directory.find() == []
    for number in range(MAX_TELLERS + 1):
        directory.hear_of(str(number), [listed(f"of {number}")], NOW)
    assert len(directory.find()) == MAX_TELLERS


def test_a_clock_too_far_from_ours() -> None:
    directory = Directory()
    for at in (NOW - MAX_SKEW_MS - 1, NOW + MAX_SKEW_MS + 1, 0, 2**53 - 1):
        assert directory.hear(said("a", at), NOW) is None
    assert directory.hear(said("a", NOW), NOW) is not None


def test_by_id_name_and_text() -> None:
    directory = Directory()
    poem = {"id": "poem", "name": "Po\u00e9sie", "price": 1, "currency": "bsv", "description": "Of the SEA"}
    song = {"id": "song", "name": "Songs", "price": 1, "currency": "bsv"}
    odd = {"id": "odd", "name": "Odd", "price": "free", "currency": "bsv"}
    directory.hear(said("a", services=(poem,)), NOW)
    directory.hear(said("b", services=(song, odd)), NOW)
    assert [each.peer_id for each in directory.find()] == ["b", "a"]
    assert [each.peer_id for each in directory.find(service="poem")] == ["a"]
    assert [each.peer_id for each in directory.find(peer="b")] == ["b"]
    for text in ("sea", "PO\u00c9SIE", "poem"):
        assert [each.peer_id for each in directory.find(text=text)] == ["a"]
    assert directory.find(service="poem", peer="b") == []
    assert directory.find(service="odd") == [], "a service that makes no sense is left out"
    assert directory.addresses_of("a") == ("/ip4/1.2.3.4/tcp/1",)
    assert directory.addresses_of("z") == ()


def test_it_holds_so_many_peers() -> None:
    directory = Directory()
    for number in range(MAX_PEERS + 5):
        directory.hear(said(f"p{number}"), NOW)
    assert len(directory) == MAX_PEERS
    assert directory.find(peer="p0") == []
    assert directory.find(peer=f"p{MAX_PEERS + 4}")


def test_an_attestation_counts_for_its_peer_key_and_day() -> None:
    at, peer, key = KNOWN["timestamp"], KNOWN["peerId"], KNOWN["bsv_public_key"]

    def attested(now: int = at, **changed: str) -> bool:
        given = {"peer": peer, "key": key, "attestation": KNOWN["compact"], **changed}
        heard = Directory().hear(
            said(given["peer"], now, key=given["key"], attestation=given["attestation"]), now
        )
        assert heard is not None
        return heard[0].attested

    assert attested()
    assert not attested(peer="12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd")
    assert not attested(key="03" + key[2:])
    assert not attested(attestation="")
    assert not attested(attestation="1:2:3:4:5")
    assert not attested(now=at + 25 * 3600 * 1000)
    made = Attestation.parse(KNOWN["compact"])
    assert not attested(attestation=str(made)[:-2] + "00")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5), st.integers(0, 4)), max_size=30))
def test_the_newest_announcement_is_the_one_that_counts(steps: list[tuple[str, int, int]]) -> None:
    directory, now, newest = Directory(), NOW, dict[str, int]()
    for peer, offset, passed in steps:
        now += passed * TTL_MS // 4
        at = now + offset * MAX_SKEW_MS // 4
        heard = directory.hear(said(peer, at), now)
        taken = abs(at - now) <= MAX_SKEW_MS and at > newest.get(peer, -1)
        assert (heard is not None) == taken
        if taken:
            newest[peer] = at
        directory.expire(now)
        assert all(now - each.last_seen < TTL_MS for each in directory.find())
