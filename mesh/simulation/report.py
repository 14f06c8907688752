"""A run as JSON, as Markdown and in words. Everything but `machine` follows from parameters and seed, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

OPTIONS = {
    "peers": "peers",
    "seed": "seed",
    "alpha": "alpha",
    "beta": "beta",
    "k": "k",
    "loss": "loss",
    "churn": "churn",
    "latency": "latency_ms",
    "lookups": "lookups",
    "minutes": "minutes",
}
"""Options of the command line, and which parameter each sets."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What this run took here; other runs differ."""

    seconds: float
    stages: Mapping[str, float]
    peak_memory_mib: float
    python: str

    def to_dict(self) -> dict[str, object]:
        return {
            "seconds": round(self.seconds, 1),
            "stages": {name: round(value, 1) for name, value in self.stages.items()},
            "peak_memory_mib": round(self.peak_memory_mib),
            "python": self.python,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """An experiment that was run. `comparison` has a row for each figure of both engines, or none."""

    engine: str
    parameters: Mapping[str, object]
    figures: Mapping[str, object]
    comparison: Sequence[Mapping[str, object]]
    machine: Machine

    def reproducible(self) -> dict[str, object]:
        """What the same seed and parameters give again."""
        return {
            "experiment": "dht",
            "engine": self.engine,
            "parameters": dict(self.parameters),
            "figures": dict(self.figures),
            "comparison": [dict(row) for row in self.comparison],
        }

    def to_dict(self) -> dict[str, object]:
        """All of it."""
        return {**self.reproducible(), "machine": self.machine.to_dict()}

    @property
    def command(self) -> str:
        """What to type for the same figures."""
        given = self.parameters
        options = " ".join(f"--{name} {given[key]}" for name, key in OPTIONS.items())
        flags = "" if given["keep_warm"] else " --no-keep-warm"
        compare = " --compare" if self.comparison else ""
        return f"mesh simulate dht --engine {self.engine} {options}{flags}{compare}"

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables of parameters, figures, comparison and machine."""
        parts = [f"# Kademlia with {self.parameters['peers']:,} peers, engine `{self.engine}`\n"]
        parts.append(
            f"`{self.command}`: the same seed and parameters give the same figures, byte for byte. "
            "Figures of lookups, registrations and discoveries ending in ms are milliseconds of virtual time.\n"
        )
        parts.append("## Parameters\n\n" + _table(("parameter", "value"), self.parameters.items()))
        for name, section in self.figures.items():
            parts.append(f"## {name.replace('_', ' ').capitalize()}\n\n{_section(section)}")
        if self.comparison:
            rows = [tuple(row.values()) for row in self.comparison]
            parts.append("## Both engines\n\n" + _table(tuple(self.comparison[0]), rows))
        parts.append("## This run\n\n" + _section(self.machine.to_dict()))
        return "\n".join(parts)

    def lines(self) -> Iterator[str]:
        """A short account for the terminal."""
        yield f"engine {self.engine}, {self.parameters['peers']} peers, seed {self.parameters['seed']}"
        for name, section in self.figures.items():
            yield f"{name.replace('_', ' ')}:"
            for key, value in _rows(section):
                yield f"  {key}: {_shown(value)}"
        for row in self.comparison:
            verdict = "agrees" if row["agrees"] else "DIFFERS"
            yield (
                f"{row['figure']}: nodes {row['nodes']}, compact {row['compact']}, "
                f"{float(str(row['difference'])):+.1%} {verdict}"
            )
        yield f"took {self.machine.seconds:.1f} s and {self.machine.peak_memory_mib:.0f} MiB at most"


def _section(section: object) -> str:
    return _table(("figure", "value"), [(key, _shown(value)) for key, value in _rows(section)])


def _rows(section: object) -> Iterator[tuple[str, object]]:
    """A distribution is one row of its own; anything else has a row a member."""
    if isinstance(section, Mapping):
        if "p99" in section:
            yield "distribution", section
            return
        for key, value in section.items():
            yield str(key).replace("_", " "), value
    else:
        yield "value", section


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    return f"{value}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_shown(each) for each in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
