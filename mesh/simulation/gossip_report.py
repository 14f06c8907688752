"""A run of `GossipNetwork` as JSON, as Markdown and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mesh.simulation.report import Machine

OPTIONS = {
    "peers": "peers",
    "seed": "seed",
    "seeds": "seeds",
    "seconds": "seconds",
    "rate": "rate",
    "size": "size",
    "least": "least",
    "most": "most",
    "latency": "latency_ms",
    "loss": "loss",
    "churn": "churn",
    "partition": "partition_s",
    "attack": "attack",
}
"""Options of the command line, and which parameter each sets; `--attackers` and `--scores` are told beside."""


@dataclass(frozen=True, slots=True)
class GossipReport:
    """An experiment that was run. Everything but `machine` follows from the parameters."""

    parameters: Mapping[str, object]
    scores: Mapping[str, object]
    """Settings of scores; empty when none were kept."""
    figures: Mapping[str, Mapping[str, object]]
    machine: Machine

    @property
    def command(self) -> str:
        """What to type for the same figures."""
        given = self.parameters
        options = " ".join(f"--{name} {given[key]}" for name, key in OPTIONS.items())
        attackers = "" if given["attackers"] is None else f" --attackers {given['attackers']}"
        return f"mesh simulate gossip {options}{attackers} --{'' if given['scores'] else 'no-'}scores"

    def reproducible(self) -> dict[str, object]:
        """What the same parameters give again, byte for byte."""
        return {
            "experiment": "gossip",
            "parameters": dict(self.parameters),
            "scores": dict(self.scores),
            "figures": {name: dict(section) for name, section in self.figures.items()},
        }

    def to_dict(self) -> dict[str, object]:
        """All of it."""
        return {**self.reproducible(), "machine": self.machine.to_dict()}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables of parameters, score settings, figures and machine."""
        parts = [
            f"# GossipSub with {self.parameters['peers']:,} nodes\n",
            f"```console\n$ {self.command}\n```\n",
            "## Parameters\n\n" + _table("parameter", self.parameters),
        ]
        if self.scores:
            parts.append("## Score settings\n\n" + _table("setting", self.scores))
        for name, section in self.figures.items():
            parts.append(f"## {_title(name)}\n\n" + _table("figure", section))
        parts.append("## This run\n\n" + _table("figure", self.machine.to_dict()))
        return "\n".join(parts)

    def lines(self) -> Iterator[str]:
        """A short account for the terminal."""
        given = self.parameters
        yield f"{given['peers']} nodes, seed {given['seed']}, attack {given['attack']}"
        for name, section in self.figures.items():
            yield f"{name.replace('_', ' ')}:"
            for key, value in section.items():
                yield f"  {key.replace('_', ' ')}: {_shown(value)}"
        yield f"took {self.machine.seconds:.1f} s and {self.machine.peak_memory_mib:.0f} MiB at most"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _table(head: str, section: Mapping[str, object]) -> str:
    lines = [f"| {head} | value |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in section.items()]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_shown(each)}" for key, each in value.items())
    return f"{value}"
