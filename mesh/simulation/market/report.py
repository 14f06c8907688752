"""Many runs as figures: JSON, Markdown, lines."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.simulation.market.runs import Tally

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class MarketReport:
    """Runs from the seed on. All but ``seconds`` follows from runs and seed."""

    runs: int
    seed: int
    tally: Tally
    seconds: float

    @property
    def sound(self) -> bool:
        return not self.tally.unsound

    def rules(self) -> dict[str, int]:
        """How often each rule was broken."""
        found = self.tally.findings
        return {
            "unpaid deliveries": len(found.unpaid_deliveries),
            "double settlements": len(found.double_settlements),
            "purchases and sales left unknown": len(found.left_unknown),
            "records that the chain, or the other side, belies": len(found.untrue),
        }

    def to_dict(self) -> dict[str, object]:
        found = self.tally.findings
        return {
            "runs": self.runs,
            "seed": self.seed,
            "rules": self.rules(),
            "ends": dict(sorted(found.ends.items())),
            "faults": dict(sorted(self.tally.faults.items())),
            "crashes": dict(sorted(found.hits.items())),
            "unsound": {str(seed): wrong for seed, wrong in self.tally.unsound.items()},
            "seconds": round(self.seconds, 1),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        found = self.tally.findings
        verdict = "**Every rule held.**" if self.sound else "**Rules were broken.**"
        parts = [
            "# Purchases under faults\n",
            f"`mesh simulate market --runs {self.runs} --seed {self.seed}`, {self.seconds:.0f} s, "
            f"Python {platform.python_version()}. Everything but the time follows from runs and seed.\n",
            f"{verdict}\n",
            _table("broken", self.rules()),
            "How purchases and sales ended:\n",
            _table("ended", dict(sorted(found.ends.items()))),
            "Runs with a fault of each kind:\n",
            _table("runs", dict(sorted(self.tally.faults.items()))),
            f"{sum(found.hits.values())} crashes: the party, when (before the step, once it was sent or "
            "written, or when its answer was there and nobody had heard of it), and the step.\n",
            _table("crashes", dict(sorted(found.hits.items()))),
        ]
        if self.tally.unsound:
            parts += ["What was wrong, by seed:\n", _table("seed", self._wrong())]
        return "\n".join(parts)

    def lines(self) -> Iterator[str]:
        found = self.tally.findings
        yield f"{self.runs} runs from seed {self.seed}, {sum(found.hits.values())} crashes, {self.seconds:.0f} s"
        for rule, count in self.rules().items():
            yield f"  {rule}: {count}"
        for end, count in sorted(found.ends.items()):
            yield f"  {end}: {count}"
        for wrong, seed in self._wrong().items():
            yield f"  seed {seed}: {wrong}"

    def _wrong(self) -> dict[str, int]:
        shown = list(self.tally.unsound.items())[:_MOST_SHOWN]
        return {"; ".join(wrong): seed for seed, wrong in shown}


def _table(heading: str, rows: dict[str, int]) -> str:
    lines = [f"| | {heading} |", "|---|---|"]
    lines += [f"| {name.replace(' | ', ', ')} | {count} |" for name, count in rows.items()]
    return "\n".join(lines) + "\n"
