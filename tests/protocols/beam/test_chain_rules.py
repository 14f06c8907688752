"""How many chains a forwarder takes."""

from __future__ import annotations

from mesh.protocols.beam.chain_rules import OPENINGS_BURST, ChainLimits, ForwardedChains
from tests.protocols.beam.signers import PEERS

ONE, TWO = PEERS[:2]


def test_room_is_in_all_and_for_each_peer() -> None:
    chains = ForwardedChains(ChainLimits(most=3, most_of_peer=2))
    for _ in range(2):
        assert chains.asked(ONE, 0.0)
        chains.began(ONE)
    assert not chains.asked(ONE, 0.0)
    assert chains.asked(TWO, 0.0)
    chains.began(TWO)
    assert not chains.asked(TWO, 0.0)
    assert (len(chains), chains.of(ONE), chains.refused) == (3, 2, 2)
    chains.ended(ONE)
    assert chains.asked(TWO, 0.0)
    chains.ended(ONE)
    chains.ended(TWO)
    assert (len(chains), chains.of(ONE)) == (0, 0)


def test_a_peer_asks_no_more_often_than_it_may() -> None:
    chains = ForwardedChains(ChainLimits())
    assert all(chains.asked(ONE, 0.0) for _ in range(int(OPENINGS_BURST)))
    assert not chains.asked(ONE, 0.0)
    assert chains.asked(TWO, 0.0)
    assert chains.asked(ONE, 1.0)


def test_bytes_are_counted() -> None:
    chains = ForwardedChains(ChainLimits())
    chains.passed(3)
    chains.passed(4)
    assert chains.bytes == 7
