"""What a relay answers, as tables: the first rule that holds refuses, none grants (circuit-v2, status codes; go's order).

The facts are gathered by `mesh.protocols.relay.reservations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mesh.codecs.relay import Status
from mesh.protocols.relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Refusal:
    """The status to answer with, and why."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ReserveFacts:
    """``reservations`` and ``of_ip`` (0 for who has no IP) leave out what the peer itself holds."""

    relayed: bool
    closing: bool
    reservations: int
    of_ip: int


@dataclass(frozen=True, slots=True)
class ConnectFacts:
    """``own`` says that the target is the source or the relay; circuits count both ends."""

    relayed: bool
    closing: bool
    own: bool
    reserved: bool
    circuits_of_source: int
    circuits_of_target: int


FactsT = TypeVar("FactsT")


@dataclass(frozen=True, slots=True)
class Rule(Generic[FactsT]):
    """``holds`` for facts that are refused with ``status``."""

    reason: str
    holds: Callable[[FactsT, Settings], bool]
    status: Status


FULL: Final = "full"

RESERVE_RULES: Final[tuple[Rule[ReserveFacts], ...]] = (
    Rule("relayed", lambda facts, _: facts.relayed, Status.PERMISSION_DENIED),
    Rule("closing", lambda facts, _: facts.closing, Status.PERMISSION_DENIED),
    Rule(
        FULL,
        lambda facts, settings: facts.reservations >= settings.max_reservations,
        Status.RESERVATION_REFUSED,
    ),
    Rule(
        "address",
        lambda facts, settings: facts.of_ip >= settings.max_reservations_per_ip,
        Status.RESERVATION_REFUSED,
    ),
)

CONNECT_RULES: Final[tuple[Rule[ConnectFacts], ...]] = (
    Rule("relayed", lambda facts, _: facts.relayed, Status.PERMISSION_DENIED),
    Rule("closing", lambda facts, _: facts.closing, Status.PERMISSION_DENIED),
    Rule("loop", lambda facts, _: facts.own, Status.NO_RESERVATION),
    Rule("unreserved", lambda facts, _: not facts.reserved, Status.NO_RESERVATION),
    Rule(
        "source",
        lambda facts, settings: facts.circuits_of_source >= settings.max_circuits_per_peer,
        Status.RESOURCE_LIMIT_EXCEEDED,
    ),
    Rule(
        "target",
        lambda facts, settings: facts.circuits_of_target >= settings.max_circuits_per_peer,
        Status.RESOURCE_LIMIT_EXCEEDED,
    ),
)


def decide(rules: tuple[Rule[FactsT], ...], facts: FactsT, settings: Settings) -> Refusal | None:
    """The first rule that refuses, or None."""
    for rule in rules:
        if rule.holds(facts, settings):
            return Refusal(rule.status, rule.reason)
    return None
