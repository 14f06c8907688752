"""What goes wrong in a run: drawn from the seed before and while it runs, in an order that the seed alone decides."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

PARTIES: Final = ("buyer", "seller", "facilitator")
LIES: Final = (
    "settles and says that it did not",
    "says that it settled and does not",
    "names a transaction that is none",
    "names the transaction of another payment",
)
CHEATS: Final = (
    "cancels the authorization",
    "pays itself with the same nonce",
    "sends the payment twice",
    "sends the payment from another peer",
    "pays for something dearer",
)
WHEN: Final = ("before", "sent", "answered")
"""Before the step is performed; once it left or was written; when its answer is there and nobody has heard of it."""
FAULTS_END_MS: Final = 120_000
"""From here on nothing goes wrong any more."""
END_MS: Final = 480_000
"""By now every purchase must be resolved; a run ends as soon as all are."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A party stops at its step of this number, and is back after a while."""

    step: int
    when: str
    away_ms: int


@dataclass(frozen=True, slots=True)
class Leg:
    """What becomes of one message: the delays at which it arrives; none of them is one that is lost."""

    delays_ms: tuple[int, ...]


@dataclass(slots=True)
class Plan:
    """The faults of one run."""

    seed: int
    purchases: int
    starts_ms: tuple[int, ...]
    crashes: dict[str, tuple[Crash, ...]]
    loss: float
    late: float
    doubled: float
    ledger_silent: float
    outages: tuple[tuple[int, int], ...]
    lie: str
    cheat: str
    work_fails: float
    skews_s: dict[str, float]
    draws: random.Random = field(repr=False)

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The faults of a seed: one run in eight has none but crashes."""
        draws = random.Random(f"market/{seed}")
        calm = draws.random() < 0.125
        purchases = draws.choice((1, 1, 1, 2, 3))
        return cls(
            seed=seed,
            purchases=purchases,
            starts_ms=tuple(draws.randrange(0, 20_000) for _ in range(purchases)),
            crashes={party: _crashes(draws) for party in PARTIES},
            loss=0.0 if calm else draws.choice((0.0, 0.05, 0.2, 0.4)),
            late=0.0 if calm else draws.choice((0.0, 0.1, 0.3)),
            doubled=0.0 if calm else draws.choice((0.0, 0.1, 0.3)),
            ledger_silent=0.0 if calm else draws.choice((0.0, 0.1, 0.3)),
            outages=() if calm else _outages(draws),
            lie="" if calm or draws.random() < 0.7 else draws.choice(LIES),
            cheat="" if calm or draws.random() < 0.7 else draws.choice(CHEATS),
            work_fails=draws.choice((0.0, 0.0, 0.3)),
            skews_s={party: draws.choice((0.0, 0.0, -2.0, 2.0)) for party in PARTIES},
            draws=draws,
        )

    def faults(self) -> list[str]:
        """What goes wrong here, in words."""
        found: dict[str, object] = {
            "lost messages": self.loss,
            "late messages": self.late,
            "doubled messages": self.doubled,
            "a ledger that does not answer": self.ledger_silent or self.outages,
            "work that fails": self.work_fails,
            f"the facilitator {self.lie}": self.lie,
            f"a payer, or who listens to it, {self.cheat}": self.cheat,
            "clocks that differ": len(set(self.skews_s.values())) > 1,
        }
        found |= {f"crashes planned of the {party}": self.crashes[party] for party in PARTIES}
        return [name for name, there in found.items() if there]

    def leg(self, now_ms: int) -> Leg:
        """What becomes of a message that is sent now."""
        draws = self.draws
        usual = 20 + draws.randrange(80)
        if now_ms >= FAULTS_END_MS:
            return Leg((usual,))
        if draws.random() < self.loss:
            return Leg(())
        delays = [usual if draws.random() >= self.late else draws.randrange(1_000, 45_000)]
        if draws.random() < self.doubled:
            delays.append(draws.randrange(20, 45_000))
        return Leg(tuple(delays))

    def ledger_answers(self, now_ms: int) -> bool:
        """Whether the ledger is heard now."""
        if now_ms >= FAULTS_END_MS:
            return True
        if any(begin <= now_ms < end for begin, end in self.outages):
            return False
        return self.draws.random() >= self.ledger_silent

    def lies(self, now_ms: int) -> str:
        """The lie that the facilitator tells this time, or none."""
        return self.lie if now_ms < FAULTS_END_MS and self.lie and self.draws.random() < 0.7 else ""


def _crashes(draws: random.Random) -> tuple[Crash, ...]:
    count = draws.choice((0, 0, 1, 1, 2))
    steps = sorted(draws.sample(range(24), count))
    return tuple(Crash(step, draws.choice(WHEN), draws.choice((50, 1_000, 15_000, 90_000))) for step in steps)


def _outages(draws: random.Random) -> tuple[tuple[int, int], ...]:
    count = draws.choice((0, 0, 1, 2))
    found = []
    for _ in range(count):
        begin = draws.randrange(FAULTS_END_MS)
        found.append((begin, begin + draws.randrange(5_000, 120_000)))
    return tuple(found)
