"""gossipsub/9: numbers that pass the parser and blow up later, in a clock or a sum. Each was an advisory, or could be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.gossip_peer import GossipPeer, flows, line
from mesh.conformance.protobuf_fields import MAX_U64, bytes_field, number_field
from mesh.conformance.verdict import Deviation, Skipped

SECTION = Section("gossipsub/9", "Numbers", "robustness", hurts=True, lane="gossipsub")
BEATS_S = 3.0
EXPIRY_S = 100.0
"""Longer than a known release takes to look at a backoff: it does once in 62 beats."""
REPEAT_S = 1.0
MARGINS_S = (0, 1, 2, 3)
LAST_INSTANT_S = 2**63 - 1
"""The end of a clock that counts seconds in 63 bits, as on Linux."""
BOUNDARIES = (
    0,
    1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    9_223_372_035,
    9_223_372_036,
    9_223_372_037,
    2**62,
    2**63 - 2,
    2**63 - 1,
    2**63,
    MAX_U64 - 1,
    MAX_U64,
)
"""Ends of integers of 31 to 64 bits, of doubles' whole numbers, and of 63 bits of nanoseconds."""


def prune(topic: str, backoff_s: int) -> bytes:
    """An RPC of one PRUNE with any backoff of 64 bits."""
    return bytes_field(3, bytes_field(4, bytes_field(1, topic.encode()) + number_field(3, backoff_s)))


async def outlives(
    attempt: Attempt, backoffs: Callable[[], Sequence[int]], wait_s: float, *, repeated: bool = False
) -> None:
    """PRUNE the target's topic and others with these backoffs, then GRAFT, and wait; afterwards it passes on messages
    between two other peers. ``repeated``: each second anew, for a clock goes on."""
    between = await line(attempt)
    peer = between.witness
    for number, each in enumerate(backoffs()):
        peer.send(prune(f"conform-{number}", each))
        peer.graft(between.topic)
        peer.send(prune(between.topic, each))
        peer.graft(between.topic)
    for beat in range(round(wait_s / REPEAT_S)):
        await asyncio.sleep(REPEAT_S)
        if repeated:
            for number, each in enumerate(backoffs()):
                peer.send(prune(f"conform-{number}-{beat}", each))
        await alive(peer)
    await flows(attempt, await line(attempt))


async def alive(peer: GossipPeer) -> None:
    if peer.session.ending is not None:
        raise Deviation(f"the session ended ({peer.session.ending})")
    await peer.session.alive()


@SECTION.must(
    1,
    "GRAFT then PRUNE with backoff 2^64 - 1 seconds; wait two heartbeats",
    "peer alive and still gossiping on other topics (CVE-2026-33040)",
    limit_s=5,
)
async def endless_backoff(attempt: Attempt) -> None:
    await outlives(attempt, lambda: [MAX_U64], BEATS_S)


@SECTION.must(
    2,
    "PRUNE with the largest backoff that still fits the peer's instant type; wait for expiry handling",
    "peer alive and still gossiping on other topics (CVE-2026-34219)",
    limit_s=30,
    slow=True,
)
async def largest_backoff(attempt: Attempt) -> None:
    if not attempt.target.is_loopback:
        raise Skipped("the clock of a target on another machine is not known")
    await outlives(attempt, last_instants, EXPIRY_S, repeated=True)


def last_instants() -> list[int]:
    """Backoffs that end in the last seconds of the clock that this machine's programs share."""
    now_s = int(time.monotonic())
    return [LAST_INSTANT_S - now_s - each for each in MARGINS_S]


@SECTION.must(
    3,
    "PRUNE with backoffs at the ends of every kind of number; wait two heartbeats",
    "peer alive, no state of others changed",
    limit_s=5,
)
async def every_boundary(attempt: Attempt) -> None:
    await outlives(attempt, lambda: BOUNDARIES, BEATS_S)
