"""Known peers: names, scores, selection, modes and the files, against what Go did."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import LimitError, Malformed, UsageError
from mesh.protocols.lethean.allowlist import Allowlist, AuthMode
from mesh.protocols.lethean.compat import COMPAT
from mesh.protocols.lethean.identity import Identity
from mesh.protocols.lethean.names import check_bundle_name, check_peer_name
from mesh.protocols.lethean.peer import Peer
from mesh.protocols.lethean.registry import SAVE_DELAY_S, PeerRegistry
from mesh.protocols.lethean.scores import Outcome
from mesh.protocols.lethean.selection import distance, point, rank, tree
from tests.protocols.lethean.vectors import ALICE, TS, group

PEERS = group("peers")
OPS = {"S": Outcome.SUCCESS, "F": Outcome.FAILURE, "T": Outcome.TIMEOUT}


def registry(*peers: Peer, **settings: Any) -> PeerRegistry:
    found = PeerRegistry(**settings)
    for peer in peers:
        found.add(peer, 0.0, TS)
    return found


def measured(case: dict[str, Any]) -> Peer:
    return Peer(
        id=case["id"],
        ping_ms=case["pingMs"],
        hops=case["hops"],
        geo_km=case["geoKm"],
        score=case["score"],
    )


@pytest.mark.parametrize("case", PEERS["names"], ids=lambda case: repr(case["name"][:10]))
def test_names(case: dict[str, Any]) -> None:
    if case["error"] is None:
        check_peer_name(case["name"])
        return
    with pytest.raises(Malformed) as refusal:
        check_peer_name(case["name"])
    assert case["error"].endswith(refusal.value.reason)


@pytest.mark.parametrize("name", ["", "../../x", "..", ".", "a/b", "a\\b", "a\0", "-a", "a\n", "a" * 65, "é"])
def test_bundle_names_that_may_be_no_folder(name: str) -> None:
    with pytest.raises(Malformed):
        check_bundle_name(name)


def test_bundle_names() -> None:
    for name in ("xmrig-linux", "a", "gpu profile_2"):
        check_bundle_name(name)


@pytest.mark.parametrize("case", PEERS["score_sequences"], ids=lambda case: case["ops"])
def test_scores(case: dict[str, Any]) -> None:
    known = registry(Peer(id="p", score=case["start_given"]))
    found = [known.peers()[0].score]
    for op in case["ops"]:
        known.rate("p", OPS[op], 0.0, TS)
        found.append(known.peers()[0].score)
    assert found == case["scores"]


@pytest.mark.parametrize("case", PEERS["update_score"])
def test_set_scores(case: dict[str, Any]) -> None:
    known = registry(Peer(id="p"))
    known.update_score("p", case["set"], 0.0)
    assert known.peers()[0].score == case["score"]


@pytest.mark.parametrize("case", PEERS["kd_selection"], ids=lambda case: case["optimal"])
def test_selection(case: dict[str, Any]) -> None:
    peers = [measured(each) for each in case["peers"]]
    for peer, each in zip(peers, case["peers"], strict=True):
        assert point(peer) == pytest.approx(tuple(each["coords"]))
        assert distance(peer) == pytest.approx(each["distance"])
    known = registry(*peers)
    best = known.best()
    assert best is not None
    assert best.id == case["optimal"]
    assert [peer.id for peer in known.nearest(2)] == case["nearest_2"]
    assert [peer.id for peer in known.nearest(99)] == case["nearest_all"]
    scores = {each["id"]: each["score"] for each in case["peers"]}
    by_score = [peer.id for peer in known.by_score()]
    assert [scores[name] for name in by_score] == [
        scores[name] for name in case["by_score_desc_ties_arbitrary"]
    ]
    assert tree(peers).nearest((0.0, 0.0, 0.0, 0.0), 99) == case["nearest_all"]


def test_scores_count_in_selection_at_once() -> None:
    case = PEERS["stale_tree"]
    known = registry(Peer(id="x", score=90), Peer(id="y", score=89))
    assert [peer.id for peer in known.nearest(1)] == [case["optimal_before"]]
    for _ in range(5):
        known.rate("x", Outcome.FAILURE, 0.0, TS)
    assert [peer.id for peer in known.nearest(1)] == [case["optimal_after_any_rebuild"]]


def test_where_gos_verdicts_are_wanted_scores_count_after_the_next_rebuild() -> None:
    case = PEERS["stale_tree"]
    known = PeerRegistry(COMPAT)
    for name, score in (("x", 90.0), ("y", 89.0)):
        known.add(Peer(id=name, score=score), 0.0, TS)
    assert known.take_save(99.0)
    for _ in range(5):
        known.rate("x", Outcome.FAILURE, 0.0, TS)
    assert known.take_save(99.0), "what is saved is the truth"
    assert [peer.id for peer in known.nearest(2)] == [case["optimal_after_5_failures_of_x"], "y"]
    assert [peer.score for peer in known.nearest(2)] == [65, 89]
    assert [peer.id for peer in known.nearest(1, (0.0, 0.0, 0.0, 0.0))] == ["x"]
    assert [peer.id for peer in known.by_score()] == ["y", "x"]
    known.update_metrics("y", 0.0, TS, ping_ms=0.0, hops=0, geo_km=0.0)
    for query in (None, (0.0, 0.0, 0.0, 0.0)):
        assert [peer.id for peer in known.nearest(1, query)] == [case["optimal_after_any_rebuild"]]
    known.rate("y", Outcome.FAILURE, 0.0, TS)
    known.load(known.encode())
    assert [peer.score for peer in known.nearest(2)] == [84, 65]


measures = st.builds(
    Peer,
    id=st.uuids().map(str),
    ping_ms=st.integers(0, 5).map(float),
    hops=st.integers(0, 3),
    geo_km=st.floats(0, 1e4),
    score=st.integers(0, 100).map(float),
)


@given(
    st.lists(measures, max_size=80, unique_by=lambda peer: peer.id),
    st.tuples(*[st.floats(0, 50)] * 4),
    st.integers(-1, 90),
)
def test_the_tree_finds_what_a_sort_finds(
    peers: list[Peer], query: tuple[float, float, float, float], count: int
) -> None:
    wanted = sorted(peers, key=lambda peer: (distance(peer, query), peer.id))
    assert tree(peers).nearest(query, count) == [peer.id for peer in wanted][: max(count, 0)]


def test_many_peers_rank_alike_by_tree_and_sort() -> None:
    rng = random.Random(7)
    peers = [
        Peer(
            id=f"p{number}",
            ping_ms=rng.random() * 300,
            hops=rng.randrange(9),
            score=float(rng.randrange(101)),
        )
        for number in range(2000)
    ]
    assert tree(peers).nearest((0.0, 0.0, 0.0, 0.0), 50) == [peer.id for peer in rank(peers)][:50]
    known = registry(*peers)
    assert next(peer.id for peer in known.nearest(5, point(peers[3]))) == "p3"


def test_errors_have_gos_words() -> None:
    errors = PEERS["errors"]
    known = registry(Peer(id="reg"))
    attempts: dict[str, Any] = {
        "add_duplicate": lambda: known.add(Peer(id="reg"), 0.0, TS),
        "add_empty_id": lambda: known.add(Peer(), 0.0, TS),
        "metrics_unknown": lambda: known.update_metrics("zz", 0.0, TS, ping_ms=1, hops=1, geo_km=1),
        "remove_unknown": lambda: known.remove("zz", 0.0),
        "score_unknown": lambda: known.update_score("zz", 1, 0.0),
        "update_unknown": lambda: known.update(Peer(id="zz"), 0.0),
    }
    assert attempts.keys() == errors.keys()
    for name, attempt in attempts.items():
        with pytest.raises(UsageError) as refusal:
            attempt()
        assert errors[name].endswith(f": {refusal.value}")


@pytest.mark.parametrize("case", PEERS["auth"])
def test_who_may_connect(case: dict[str, Any]) -> None:
    known = registry(*[Peer(id=name) for name in case["registered"]], strictness=COMPAT)
    known.mode = AuthMode[case["mode"].upper()]
    for key in case["allowed_keys"]:
        known.allowlist.allow(key)
    assert known.admits(Identity(id=case["peer_id"], public_key=case["public_key"])) is case["allowed"]


def test_a_registered_id_with_another_key_is_refused_beyond_go() -> None:
    known = registry(Peer(id="reg", public_key="key="))
    other = Identity(id="reg", public_key="other")
    for mode in AuthMode:
        known.mode = mode
        assert not known.admits(other)
        assert known.admits(Identity(id="reg", public_key="key="))


def test_files_as_go_wrote_them() -> None:
    case = PEERS["persistence"]
    known = PeerRegistry()
    known.load(case["peers_json_text"])
    assert known.encode() == case["peers_json_text"]
    assert PeerRegistry().encode() == "[]"
    listed = Allowlist.decode(case["allowlist_text"])
    assert listed.encode() == case["allowlist_text"]
    assert listed.revoke("aaa=")
    assert not listed.revoke("aaa=")
    assert listed.revoke("zzz=")
    assert listed.encode() == case["allowlist_empty_text"]
    assert Allowlist.decode('["","a"]').keys() == ["a"]
    assert Allowlist.decode("null").keys() == []


def test_files_that_are_none() -> None:
    for text in ("", "{}", "[1]", '[{"id":1}]'):
        with pytest.raises(Malformed):
            PeerRegistry().load(text)
    for text in ("{}", "[1]", "["):
        with pytest.raises(Malformed):
            Allowlist.decode(text)


def test_the_first_change_starts_the_clock_of_saving() -> None:
    known = PeerRegistry()
    assert known.deadline() is None
    known.add(Peer(id="a"), 10.0, TS)
    known.update_score("a", 60, 14.0)
    assert known.deadline() == 10.0 + SAVE_DELAY_S
    assert known.take_save(14.9) is None
    assert known.take_save(15.0) == known.encode()
    assert known.deadline() is None
    known.set_connected("a", True, TS)
    assert known.deadline() is None
    assert known.take_save(99.0, closing=True) is None
    known.remove("a", 100.0)
    assert known.take_save(100.0, closing=True) == "[]"
    known.fail_save(100.0)
    assert known.deadline() == 105.0


def test_inbound_peers_are_registered_when_they_can_be() -> None:
    known = PeerRegistry(max_peers=2)
    assert known.register(ALICE.identity("alice", TS, "boss"), 0.0, TS)
    assert known.register(ALICE.identity("other name", TS), 0.0, TS)
    peer = known.get(ALICE.id)
    assert peer is not None
    assert (peer.name, peer.role, peer.address, peer.score) == ("alice", "boss", "", 50)
    assert not known.register(Identity(), 0.0, TS)
    assert not known.register(Identity(id="x", name="-bad-"), 0.0, TS)
    known.add(Peer(id="b"), 0.0, TS)
    assert not known.register(Identity(id="c"), 0.0, TS)
    with pytest.raises(LimitError):
        known.add(Peer(id="c"), 0.0, TS)


def test_callers_hold_copies() -> None:
    known = registry(Peer(id="a"))
    known.peers()[0].score = 1
    copy = known.get("a")
    assert copy is not None
    assert copy.score == 50
    copy.score = 70
    known.update(copy, 0.0)
    known.set_connected("a", True, TS)
    known.set_connected("unknown", True, TS)
    assert known.connected() == ["a"]
    known.set_connected("a", False, TS)
    assert known.connected() == []
    known.update_metrics("a", 0.0, TS, ping_ms=1.5, hops=2, geo_km=3)
    assert known.peers()[0].ping_ms == 1.5
    with pytest.raises(UsageError):
        known.update_metrics("a", 0.0, TS, ping_ms=float("nan"), hops=2, geo_km=3)
