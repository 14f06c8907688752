"""What version 2's answers add up to: a verdict for each address, from different servers (libp2p digest, section 18).

A server's latest answer counts once. Two more that agree than disagree decide, three make it sure; what is sure is asked
about again each hour, the rest as soon as there is a server that has not answered yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.autonat.confidence import Reachability

DECIDED_AT: Final = 2
SURE_AT: Final = 3
RECHECK_S: Final = 3600.0
SPACING_S: Final = 5.0
REFUSED_S: Final = 60.0
MAX_REFUSED_S: Final = 3600.0
MAX_ADDRESSES: Final = 50
MAX_ASKED: Final = 10
"""Addresses in one request, as go's client has it."""
MAX_ANSWERS: Final = 8
"""Servers whose answers are kept for one address."""

Server = bytes
"""A server's peer id."""


@dataclass(frozen=True, slots=True)
class AddressState:
    """One address: how many servers reached it or not, and what follows. ``confidence`` is 0 to 3."""

    address: Multiaddr
    state: Reachability
    successes: int
    failures: int
    confidence: int


@dataclass(slots=True)
class _Record:
    due_at: float
    answers: dict[Server, tuple[bool, float]] = field(default_factory=dict)
    refusals: int = 0

    @property
    def lead(self) -> int:
        """Successes less failures."""
        return sum(1 if reached else -1 for reached, _ in self.answers.values())

    def fresh(self, server: Server, now: float) -> bool:
        """Whether this server has something new to say."""
        answer = self.answers.get(server)
        return answer is None or now - answer[1] >= RECHECK_S


class AddressStates:
    """The verdicts on the addresses of `track`. ``spacing_s`` is the pause between two questions about one address."""

    __slots__ = ("_records", "spacing_s")

    def __init__(self) -> None:
        self.spacing_s = SPACING_S
        self._records: dict[Multiaddr, _Record] = {}

    def track(self, addresses: Iterable[Multiaddr], now: float) -> None:
        """The addresses to ask about from now on, at most 50; what is known of those that stay is kept."""
        wanted = list(dict.fromkeys(addresses))[:MAX_ADDRESSES]
        self._records = {each: self._records.get(each) or _Record(now) for each in wanted}

    def choose(self, servers: Collection[Server], now: float) -> tuple[Server, list[Multiaddr]] | None:
        """Whom to ask now and about what, the neediest address first; None when nothing is due or nobody new is there.

        ``servers`` in order of liking.
        """
        due = sorted(
            (each for each in self._records.items() if each[1].due_at <= now),
            key=lambda each: abs(each[1].lead),
        )
        for _, neediest in due:
            for server in servers:
                if neediest.fresh(server, now):
                    asked = [address for address, each in due if each.fresh(server, now)]
                    return server, asked[:MAX_ASKED]
        return None

    def note(self, address: Multiaddr, server: Server, reached: bool, now: float) -> bool:
        """A server's answer about one address; tells whether its state changed. Others than tracked ones are ignored."""
        record = self._records.get(address)
        if record is None:
            return False
        before = _state(record)
        record.answers.pop(server, None)
        if len(record.answers) >= MAX_ANSWERS:
            del record.answers[next(iter(record.answers))]
        record.answers[server] = (reached, now)
        record.refusals = 0
        record.due_at = now + (RECHECK_S if abs(record.lead) >= SURE_AT else self.spacing_s)
        return _state(record) is not before

    def refuse(self, addresses: Iterable[Multiaddr], now: float) -> None:
        """Nothing was learnt about these: they wait, longer each time."""
        for address in addresses:
            record = self._records.get(address)
            if record is not None:
                record.due_at = now + min(REFUSED_S * 2**record.refusals, MAX_REFUSED_S)
                record.refusals = min(record.refusals + 1, 16)

    def states(self) -> list[AddressState]:
        """Every tracked address."""
        return [_shown(address, each) for address, each in self._records.items()]

    def deadline(self) -> float | None:
        """When the next address is due; None without addresses."""
        return min((each.due_at for each in self._records.values()), default=None)


def _state(record: _Record) -> Reachability:
    if record.lead >= DECIDED_AT:
        return Reachability.PUBLIC
    return Reachability.PRIVATE if record.lead <= -DECIDED_AT else Reachability.UNKNOWN


def _shown(address: Multiaddr, record: _Record) -> AddressState:
    successes = sum(reached for reached, _ in record.answers.values())
    failures = len(record.answers) - successes
    return AddressState(address, _state(record), successes, failures, min(abs(successes - failures), SURE_AT))
