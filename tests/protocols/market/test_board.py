"""Whose word counts: signatures, the seller itself, hearsay; withdrawals; search and order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.keys import KeyType
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.market import board as boards
from mesh.protocols.market.board import Board, Query, Trust, listings_of
from mesh.protocols.market.listing import DELIST, LIST, UPDATE, Listing, announce
from mesh.protocols.market.naming import agent_did, is_owned
from mesh.protocols.market.signing import is_proven, sign_listing

KEY = PrivateKey.from_seed(bytes(32))
OTHER = PrivateKey.from_seed(bytes([1]) * 32)
SELLER = str(PeerId.from_public_key(KEY.public))
STRANGER = str(PeerId.from_public_key(OTHER.public))
NOW = 1_800_000_000.0


def offer(name: str = "tea", key: PrivateKey = KEY, **fields: object) -> Listing:
    seller = str(PeerId.from_public_key(key.public))
    made = Listing(agent_did(key.public, name), name, 0.5, "", seller, timestamp=int(NOW))
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(KeyType))
def test_every_kind_of_key_signs(kind: KeyType) -> None:
    key = PrivateKey.generate(kind)
    signed = sign_listing(offer(key=key), key)
    assert bool(signed.seller_key) == (kind in (KeyType.RSA, KeyType.ECDSA))
    assert is_proven(signed)
    assert is_proven(Listing.read(signed.write()))
    assert not is_proven(signed, DELIST)
    for changed in (
        replace(signed, price=0.1),
        replace(signed, addrs=("/ip4/1.2.3.4/tcp/1",)),
        replace(signed, timestamp=signed.timestamp + 1),
        replace(signed, signature=""),
        replace(signed, signature="????"),
        replace(signed, signature=signed.signature[:-4]),
        replace(signed, signature="A" * 5000),
    ):
        assert not is_proven(changed)


def test_a_signature_does_not_prove_another_ones_id() -> None:
    """The seller signs what it sells, but under an id that another seller derives."""
    stolen = sign_listing(replace(offer(key=OTHER), id=offer().id), OTHER)
    assert not is_owned(stolen)
    assert not is_proven(stolen)
    assert is_proven(sign_listing(replace(offer(), id=f"{SELLER}/{offer().id}"), KEY))


def test_what_a_seller_says_counts_above_hearsay() -> None:
    board = Board()
    assert board.put(offer(price=0.1), STRANGER, NOW)
    assert board.get(offer().id).trust is Trust.HEARSAY  # type: ignore[union-attr]
    assert board.put(offer(), SELLER, NOW)
    assert not board.put(offer(price=0.0, timestamp=int(NOW) + 60), STRANGER, NOW)
    assert board.put(sign_listing(offer(price=0.7), KEY), STRANGER, NOW)
    entry = board.get(offer().id)
    assert entry is not None
    assert (entry.listing.price, entry.trust, entry.verified) == (0.7, Trust.SIGNED, True)
    assert not board.put(offer(price=0.2, timestamp=int(NOW) + 60), SELLER, NOW)
    assert board.refused == 2


def test_old_words_do_not_count_against_newer_ones() -> None:
    board = Board()
    newer = sign_listing(offer(price=2.0, timestamp=int(NOW) + 10), KEY)
    assert board.put(newer, "", NOW)
    assert not board.put(sign_listing(offer(), KEY), SELLER, NOW)
    assert not board.put(newer, "", NOW + 5)
    assert board.get(newer.id).heard_s == NOW + 5  # type: ignore[union-attr]


def test_the_unsigned_word_of_a_silent_seller_gives_way() -> None:
    board = Board()
    board.put(offer(), SELLER, NOW)
    later = offer(price=0.9, timestamp=int(NOW) + 400)
    assert not board.put(replace(later, seller_id=STRANGER), "", NOW + 400)
    assert board.put(later, "", NOW + 400)


def test_a_timestamp_far_ahead_blocks_nothing() -> None:
    board = Board()
    board.put(sign_listing(offer(timestamp=int(NOW) + 10**6), KEY), "", NOW)
    assert board.get(offer().id).trust is Trust.HEARSAY  # type: ignore[union-attr]
    assert board.put(offer(), SELLER, NOW)


def test_who_may_withdraw() -> None:
    board = Board()
    signed = sign_listing(offer(), KEY)
    board.put(signed, "", NOW)
    assert not board.hear(announce(DELIST, offer(timestamp=int(NOW) + 1)), STRANGER, NOW)
    assert not board.hear(announce(DELIST, replace(signed, timestamp=int(NOW) + 1)), STRANGER, NOW)
    gone = sign_listing(offer(timestamp=int(NOW) + 1), KEY, DELIST)
    assert not board.hear(announce(DELIST, sign_listing(offer(timestamp=int(NOW) - 1), KEY, DELIST)), "", NOW)
    assert board.hear(announce(DELIST, gone), STRANGER, NOW)
    assert board.get(signed.id) is None


def test_what_was_withdrawn_comes_back_by_its_sellers_word_alone() -> None:
    board = Board()
    board.put(offer(), SELLER, NOW)
    assert board.hear(announce(DELIST, offer(timestamp=int(NOW) + 1)), SELLER, NOW)
    assert not board.hear(announce(UPDATE, offer(timestamp=int(NOW) + 9)), STRANGER, NOW)
    assert not board.put(sign_listing(offer(), KEY), "", NOW)
    assert board.hear(announce(LIST, sign_listing(offer(timestamp=int(NOW) + 2), KEY)), STRANGER, NOW)


def test_a_withdrawal_that_came_first_counts_as_well() -> None:
    board = Board()
    assert not board.hear(announce(DELIST, sign_listing(offer(), KEY, DELIST)), "", NOW)
    assert not board.put(sign_listing(offer(), KEY), SELLER, NOW)
    assert len(board) == 0


def test_hearsay_is_withdrawn_by_hearsay_as_on_the_real_node() -> None:
    board = Board()
    board.put(offer(id="plain"), "", NOW)
    assert board.hear(announce("anything", offer(id="other")), STRANGER, NOW)
    assert board.hear(announce(DELIST, Listing("plain", "", 0.0, "", "")), STRANGER, NOW)
    assert [each.listing.id for each in board] == ["other"]


def test_the_board_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MAX_LISTINGS", 3)
    monkeypatch.setattr(boards, "MAX_WITHDRAWN", 2)
    board = Board()
    board.put(sign_listing(offer(), KEY), "", NOW)
    for number in range(20):
        board.put(offer(id=f"a{number}"), STRANGER, NOW)
        name = f"n{number}"
        board.hear(announce(DELIST, sign_listing(offer(name), KEY, DELIST)), "", NOW)
    assert len(board) == 3
    assert board.get(offer().id) is not None
    assert len(board._withdrawn) == 2


def test_one_seller_does_not_fill_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MAX_OF_A_SELLER", 2)
    board = Board()
    for number in range(5):
        board.put(sign_listing(offer(f"n{number}"), KEY), "", NOW)
        board.put(offer(f"h{number}"), STRANGER, NOW)
    assert len(board.find(Query(verified=True))) == 2
    assert len(board) == 7
    assert board.hear(announce(DELIST, offer("n0", timestamp=int(NOW) + 1)), SELLER, NOW)
    assert board.put(sign_listing(offer("n4"), KEY), "", NOW)
    assert board.put(sign_listing(offer("n1", price=0.1, timestamp=int(NOW) + 1), KEY), "", NOW)


def test_search_and_order() -> None:
    board = Board()
    tea = sign_listing(offer("Tea", price=2.0, capabilities=("brew", "Pour")), KEY)
    ale = offer("ale", OTHER, price=1.0, capabilities=("brew",))
    math = offer("math", price=3.0)
    for at, each in enumerate((tea, ale, math)):
        board.put(each, "", NOW + at)

    def names(**query: object) -> list[str]:
        return [each.name for each in listings_of(board.find(Query(**query)))]  # type: ignore[arg-type]

    assert names() == ["ale", "math", "Tea"]
    assert names(sort="price") == ["ale", "Tea", "math"]
    assert names(sort="price", reverse=True) == ["math", "Tea", "ale"]
    assert names(sort="capability") == ["ale", "Tea", "math"]
    assert names(sort="age") == ["math", "ale", "Tea"]
    assert names(text="TE") == ["Tea"]
    assert names(text="pou") == ["Tea"]
    assert names(capability="pour") == ["Tea"]
    assert names(capability="pou") == []
    assert names(seller=STRANGER) == ["ale"]
    assert names(max_price=2.0) == ["ale", "Tea"]
    assert names(verified=True) == ["Tea"]
    with pytest.raises(UsageError, match="no order"):
        Query(sort="size")


def test_an_agent_is_found_behind_its_sellers_id() -> None:
    board = Board()
    board.put(offer(), SELLER, NOW)
    assert board.get(f"{SELLER}/{offer().id}") == board.get(offer().id) is not None
