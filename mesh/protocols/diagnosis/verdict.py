"""What a diagnosis says, and how a table of rules comes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

EvidenceT = TypeVar("EvidenceT")


class Where(StrEnum):
    """Whose hand a step needs."""

    HERE = "here"
    PEER = "peer"
    RELAY = "relay"
    ROUTER = "router"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do: in words, and as a command where there is one. ``act`` tells programs what it is: `run` the
    command, `set` a value in the settings (takes a restart), `forward` a port in the router, `allow` it in a firewall,
    `mend` what ``text`` says."""

    where: Where
    act: str
    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause by its name, how sure it is (0 to 3), what speaks for it, and what to do, in this order."""

    cause: str
    summary: str
    confidence: int
    evidence: tuple[str, ...]
    remedy: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Rule(Generic[EvidenceT]):
    """A row: when ``why`` has something to say, the cause is this one."""

    cause: str
    summary: str
    confidence: int
    why: Callable[[EvidenceT], Iterable[str]]
    remedy: Callable[[EvidenceT], Iterable[Step]]


UNKNOWN = "unknown"


def decide(rules: Sequence[Rule[EvidenceT]], evidence: EvidenceT, otherwise: Sequence[Step]) -> Verdict:
    """The first row that has something to say; without any the cause is `unknown`."""
    for rule in rules:
        found = tuple(rule.why(evidence))
        if found:
            return Verdict(rule.cause, rule.summary, rule.confidence, found, tuple(rule.remedy(evidence)))
    return Verdict(UNKNOWN, "what could be seen points to nothing", 0, (), tuple(otherwise))
