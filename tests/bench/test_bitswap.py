"""The benchmark of bitswap runs to its end with this node on both sides; nothing is said about how fast."""

from __future__ import annotations

from tools.bench.bitswap import MIB, transfer


async def test_a_transfer_between_two_of_ours() -> None:
    assert await transfer("mesh", "mesh", 2 * MIB + 1, 1) > 0
