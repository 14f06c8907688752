"""Whether a node does well: a few conditions, each with what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.protocols.diagnosis.evidence import NatEvidence

MAX_LAG_S = 0.25


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them: its name, whether it holds, and why."""

    name: str
    holds: bool
    seen: str


def conditions(own: NatEvidence, lag_s: float, reachability: str) -> list[Condition]:
    """All of them; ``lag_s`` is the loop's lateness (99th percentile), ``reachability`` `public`, `private` or
    `unknown`."""
    reached = bool(own.reached) or reachability == "public"
    held = len(own.held)
    way = (
        "strangers reach it"
        if reached
        else f"{held} relays hold a reservation"
        if held
        else "no address, no relay"
    )
    clock = not any(each.fault.name == "EXPIRED" for each in own.relays)
    return [
        Condition(
            "listening",
            own.listens_beyond,
            "beyond this machine" if own.listens_beyond else "on loopback alone: set network.listen",
        ),
        Condition("peers", own.peers > 0, f"{own.peers} connected"),
        Condition("reachable", reached or held > 0, way),
        Condition(
            "clock", clock, "reservations are in time" if clock else "a reservation came that had run out"
        ),
        Condition("loop", lag_s <= MAX_LAG_S, f"late by {lag_s * 1000:.0f} ms (99 of 100 times less)"),
    ]
