"""An experiment of many seeds, as JSON, as Markdown and in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeedsReport:
    """All seeds of an experiment. `experiment` is the verb that runs it again."""

    experiment: str
    title: str
    parameters: Mapping[str, object]
    figures: Mapping[str, Mapping[str, object]]
    seconds: float
    """What this run took here; other runs differ."""

    @property
    def command(self) -> str:
        """What to type for the same figures."""
        return f"mesh simulate {self.experiment} " + " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in self.parameters.items()
        )

    def reproducible(self) -> dict[str, object]:
        """What the same seeds and parameters give again."""
        return {
            "experiment": self.experiment,
            "parameters": dict(self.parameters),
            "figures": {name: dict(section) for name, section in self.figures.items()},
        }

    def to_dict(self) -> dict[str, object]:
        """All of it."""
        machine = {"seconds": round(self.seconds, 1), "python": sys.version.split()[0]}
        return {**self.reproducible(), "machine": machine}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables of parameters and figures."""
        parts = [f"# {self.title}\n", f"`{self.command}`\n"]
        for name, section in (("parameters", self.parameters), *self.figures.items()):
            rows = "".join(
                f"| {key.replace('_', ' ')} | {_shown(value)} |\n" for key, value in section.items()
            )
            parts.append(f"## {name.replace('_', ' ').capitalize()}\n\n| figure | value |\n|---|---|\n{rows}")
        parts.append(f"It took {self.seconds:.1f} s.\n")
        return "\n".join(parts)

    def lines(self) -> Iterator[str]:
        """A short account for the terminal."""
        given = self.parameters
        yield f"{self.title}, {given['seeds']} seeds from {given['seed']}"
        for name, section in self.figures.items():
            yield f"{name.replace('_', ' ')}:"
            for key, value in section.items():
                yield f"  {key.replace('_', ' ')}: {_shown(value)}"
        yield f"took {self.seconds:.1f} s"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(f"{each}" for each in value)
    return f"{value}"
