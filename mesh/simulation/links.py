"""What lies between nodes: how long a message takes, whether it arrives, who is cut off from whom.

Every pair of nodes has a round trip of its own, drawn once from a log-normal distribution and found again by hashing
the two numbers, so no table of pairs is kept; each message then takes half of it and up to a tenth more. Loss is that
of whole messages, after whatever the transport did about its packets: a lost request is one that is never answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp
from statistics import NormalDist
from typing import TypeVarTuple, Unpack

from mesh.errors import UsageError
from mesh.simulation.world import World

JITTER = 0.1
"""A message takes up to this share longer than half a round trip."""

_BINS = 1024
_MIX = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1

Arguments = TypeVarTuple("Arguments")


class Latency:
    """Round trips of pairs: log-normal around `median_ms`, `spread` being the deviation of the logarithm.

    With a spread of 0.25 and a median of 50 ms, nine of ten pairs lie between 33 and 75 ms. Raises UsageError for a
    median that is not positive and for a negative spread.
    """

    __slots__ = ("_quantiles", "_salt", "median_ms", "spread")

    def __init__(self, median_ms: float, spread: float, seed: int) -> None:
        if median_ms <= 0 or spread < 0:
            raise UsageError(f"round trips of {median_ms} ms with a spread of {spread}")
        self.median_ms = median_ms
        self.spread = spread
        normal = NormalDist()
        self._quantiles = [
            median_ms * exp(spread * normal.inv_cdf((number + 0.5) / _BINS)) for number in range(_BINS)
        ]
        self._salt = seed * _MIX & _WORD

    def round_trip_ms(self, a: int, b: int) -> float:
        """Of the pair, whichever comes first."""
        mixed = ((a + b) * _MIX ^ (a * b + 1) * 0xC2B2AE3D27D4EB4F ^ self._salt) & _WORD
        mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & _WORD
        return self._quantiles[mixed >> 54]


class Links:
    """Sends between nodes that are numbers."""

    __slots__ = ("_random", "_side", "_world", "cut", "latency", "loss", "lost", "sent")

    def __init__(self, world: World, latency: Latency, loss: float = 0.0) -> None:
        """`loss` is the share of messages that never arrive. Raises UsageError outside 0 to 1."""
        if not 0 <= loss < 1:
            raise UsageError(f"a loss of {loss}")
        self._world = world
        self._random = world.random("links").random
        self._side: dict[int, int] = {}
        self.latency = latency
        self.loss = loss
        self.sent = self.lost = self.cut = 0
        """Messages in all, those that loss took and those that a partition stopped."""

    def one_way_ms(self, source: int, target: int) -> int:
        """How long a message sent now takes."""
        half = self.latency.round_trip_ms(source, target) / 2
        return int(half * (1 + JITTER * self._random()) + 0.5)

    def connected(self, source: int, target: int) -> bool:
        """Whether no partition lies between them."""
        side = self._side
        return not side or side.get(source, 0) == side.get(target, 0)

    def send(
        self,
        source: int,
        target: int,
        delay_ms: int,
        action: Callable[[Unpack[Arguments]], object],
        *arguments: *Arguments,
    ) -> bool:
        """Run an action when a message that leaves in `delay_ms` arrives.

        Returns whether it is under way: False for a lost one, which is for statistics, and for time-outs that only
        need to be set when nothing comes.
        """
        self.sent += 1
        if self._side and not self.connected(source, target):
            self.cut += 1
            return False
        if self.loss and self._random() < self.loss:
            self.lost += 1
            return False
        self._world.after(delay_ms + self.one_way_ms(source, target), action, *arguments)
        return True

    def partition(self, *groups: Iterable[int]) -> None:
        """Cut each group off from the others and from everyone in none of them; replaces the partition before.

        Messages under way still arrive.
        """
        self._side = {node: number for number, group in enumerate(groups, 1) for node in group}

    def heal(self) -> None:
        """Everyone reaches everyone again."""
        self._side = {}
