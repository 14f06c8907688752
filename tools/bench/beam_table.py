"""Beam's targets, each beside its goal and what was measured, as the rows of the README have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """``goal`` is a most in ms, or a least where ``unit`` is a share or a factor; None where there is none."""

    key: str
    text: str
    goal: float | None
    unit: str = "ms"

    def met(self, value: float) -> bool:
        if self.goal is None:
            return True
        return value < self.goal if self.unit == "ms" else value > self.goal

    def shown_goal(self) -> str:
        if self.goal is None:
            return ""
        return f"{'<' if self.unit == 'ms' else '>'} {self.shown(self.goal)}"

    def shown(self, value: float) -> str:
        if self.unit == "share":
            return f"{100 * value:.3g} %"
        if self.unit == "factor":
            return f"{value:.3g} times"
        return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"


TARGETS: Final = (
    Target("join", "join, worst", 10_000.0),
    Target("registration", "registration to a majority, median", 500.0),
    Target("registration_p95", "registration to a majority, 95 %", 500.0),
    Target("spread", "until every node has heard of it, 95 %", None),
    Target("cold", "discovery, cold, median", 2_000.0),
    Target("cold_p95", "discovery, cold, 95 %", 2_000.0),
    Target("cached", "discovery, cached, 95 %", 50.0),
    Target("found_share", "discoveries that succeed, in the DHT", 0.98, "share"),
    Target("failover_closed", "next connection after a provider ended", 1_000.0),
    Target("failover_silent", "next connection after a provider fell silent", 5_000.0),
    Target("path_closed", "a session whose path in use ends: longest pause", 1_000.0),
    Target("path_silent", "a session whose path in use falls silent: longest pause", 5_000.0),
    Target("added", "added to a round trip by a tunnel", 50.0),
    Target("hop_relay", "added to a round trip by a relay (aim: < 5 ms)", 50.0),
    Target("hop_chain", "added to a round trip by each hop of a chain (aim: < 5 ms)", 50.0),
    Target("striping", "two paths of the same speed together", 1.7, "factor"),
    Target("routing", "ranking the routes to a peer where 1,000 links are told of", 100.0),
)
CONNECTIONS: Final = (25, 50)
HEADING: Final = "| target | goal | on loopback |"


def table(grounds: Mapping[str, Figures]) -> str:
    """A column for each ground."""
    columns = list(grounds.values())
    lines = [f"| target | goal | {' | '.join(grounds)} |", f"|---|---:|{'---:|' * len(grounds)}"]
    for each in TARGETS:
        cells = [each.shown(found[each.key]) if each.key in found else "" for found in columns]
        lines.append(f"| {each.text} | {each.shown_goal()} | {' | '.join(cells)} |")
    held = [f"{each['connections_median']:g} ({each['connections_most']})" for each in columns]
    lines.append(f"| connections of a node, median (most) | 25-50 | {' | '.join(held)} |")
    busy = [f"{each[key]:.3g} ms" if (key := "registration_processor") in each else "" for each in columns]
    lines.append(f"| processor time of all nodes for a registration | | {' | '.join(busy)} |")
    loads = [f"{each['load']:.1f}" if "load" in each else "" for each in columns]
    lines.append(f"| waiting for a processor on this machine | | {' | '.join(loads)} |")
    return "\n".join(lines)


def renewed(text: str, made: str) -> str:
    """A text whose table of targets is replaced by a newly made one. Raises `ValueError` where it has none."""
    lines = text.split("\n")
    begin = next((at for at, line in enumerate(lines) if line.startswith(HEADING)), None)
    if begin is None:
        raise ValueError(f"no table begins with {HEADING}")
    end = next(at for at, line in enumerate(lines[begin:], begin) if not line.startswith("|"))
    return "\n".join([*lines[:begin], *made.split("\n"), *lines[end:]])


def missed(grounds: Mapping[str, Figures]) -> list[str]:
    """The targets that were."""
    found = [
        f"{each.text}, {ground}"
        for ground, figures in grounds.items()
        for each in TARGETS
        if each.key in figures and not each.met(figures[each.key])
    ]
    least, most = CONNECTIONS
    for ground, figures in grounds.items():
        enough = figures["nodes"] > least
        if enough and not (least <= figures["connections_median"] and figures["connections_most"] <= most):
            found.append(f"connections of a node, {ground}")
    return found
