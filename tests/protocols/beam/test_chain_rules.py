"""How many chains a forwarder takes, and that hoarders keep nobody out."""

from __future__ import annotations

import pytest

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.chain_rules import (
    IDLE_S,
    OPENINGS_BURST,
    Chain,
    ChainLimits,
    ForwardedChains,
    leads_back,
)
from tests.protocols.beam.signers import PEERS

ONE, TWO, OWN, FAR = PEERS[:4]


def begin(chains: ForwardedChains, peer: PeerId, now: float = 0.0) -> Chain:
    """A chain for which nobody gives way."""
    assert chains.asked(peer, now)
    chain, ending = chains.began(peer, now)
    assert ending is None
    return chain


def test_room_is_in_all_and_for_each_peer() -> None:
    chains = ForwardedChains(ChainLimits(most=3, most_of_peer=2))
    of_one = [begin(chains, ONE) for _ in range(2)]
    assert not chains.asked(ONE, 0.0)
    of_two = begin(chains, TWO)
    assert not chains.asked(TWO, 0.0)
    assert (len(chains), chains.of(ONE), chains.refused) == (3, 2, 2)
    chains.ended(of_one[0])
    chains.ended(of_one[0])
    assert chains.asked(TWO, 0.0)
    chains.ended(of_one[1])
    chains.ended(of_two)
    assert (len(chains), chains.of(ONE)) == (0, 0)


def test_a_peer_asks_no_more_often_than_it_may() -> None:
    chains = ForwardedChains(ChainLimits())
    assert all(chains.asked(ONE, 0.0) for _ in range(int(OPENINGS_BURST)))
    assert not chains.asked(ONE, 0.0)
    assert chains.asked(TWO, 0.0)
    assert chains.asked(ONE, 1.0)


def test_bytes_are_counted_and_a_chain_without_any_ends() -> None:
    chains = ForwardedChains(ChainLimits())
    idle, used = begin(chains, ONE), begin(chains, ONE)
    chains.passed(used, 3, 0.5)
    chains.passed(used, 4, 1.0)
    assert chains.bytes == 7
    assert chains.expire(IDLE_S - 0.1) == []
    assert chains.expire(IDLE_S) == [idle]
    assert idle not in chains
    assert used in chains
    assert chains.idle == 1


def test_whoever_has_most_gives_way_to_who_has_fewer() -> None:
    chains = ForwardedChains(ChainLimits(most=3, most_of_peer=3))
    newest = [begin(chains, ONE) for _ in range(3)][-1]
    assert chains.asked(TWO, 0.0)
    chain, ending = chains.began(TWO, 0.0)
    assert ending is newest
    assert newest not in chains
    assert chain in chains
    assert len(chains) == 3
    assert not chains.asked(TWO, 0.0), "with nearly as many as everybody it displaces nobody"
    assert chains.displaced == 1


@pytest.mark.parametrize("hops", [[OWN], [FAR, OWN], [ONE], [FAR, ONE], [FAR, FAR], [], [*PEERS[1:2] * 5]])
def test_chains_that_lead_back(hops: list[PeerId]) -> None:
    assert leads_back(OWN, ONE, hops)
    assert not leads_back(OWN, ONE, [TWO, FAR])
