"""What a NAT does with our datagrams: how it maps a socket, and whom it lets in (RFC 4787 names, RFC 5780 tests).

The test says which question comes next and is told what came of it. Mapping: one socket asks a server's two addresses and
ports, and other servers; what it is seen as differs or not. Filtering: a fresh socket that has talked to one address of
the server asks to be answered from another; silence means that strangers are kept out. Beam's four classes follow.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

from mesh.multiformats.ip_ranges import is_loopback, is_private, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.stun.message import Answer, HostPort


class Mapping(StrEnum):
    """Whether a socket is seen at one outside address by all, by each host, or by each port."""

    UNKNOWN = "unknown"
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


class Filtering(StrEnum):
    """Who may answer: anybody, hosts that were sent to, or only the very address and port."""

    UNKNOWN = "unknown"
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


class NatClass(StrEnum):
    """Beam's names. `RESTRICTED` is both the address-restricted and the port-restricted cone."""

    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    OPEN = "open"
    FULL_CONE = "full cone"
    RESTRICTED = "restricted"
    SYMMETRIC = "symmetric"


@dataclass(frozen=True, slots=True)
class Question:
    """A request to ``server`` from the tested socket, or from a ``fresh`` one that keeps to this server's first address
    while it is asked for answers from elsewhere. ``sources`` are the addresses an answer may come from."""

    server: HostPort
    sources: tuple[HostPort, ...]
    change_address: bool = False
    change_port: bool = False
    fresh: bool = False
    silence_tells: bool = False


_Script = Generator[Question, "Answer | None", None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What was found. ``outside`` is the address that the first server saw, ``translated`` whether it is another than
    the socket's own, None when that is not known."""

    mapping: Mapping = Mapping.UNKNOWN
    filtering: Filtering = Filtering.UNKNOWN
    outside: HostPort | None = None
    translated: bool | None = None
    answered: int = 0
    asked: int = 0

    @property
    def nat_class(self) -> NatClass:
        """The class in Beam's names; what was not tested counts as the stricter."""
        if not self.asked:
            return NatClass.UNKNOWN
        if not self.answered:
            return NatClass.BLOCKED
        if self.mapping in (Mapping.ADDRESS_DEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT):
            return NatClass.SYMMETRIC
        if self.filtering is Filtering.ENDPOINT_INDEPENDENT:
            return NatClass.FULL_CONE if self.translated else NatClass.OPEN
        known = Mapping.UNKNOWN is not self.mapping or Filtering.UNKNOWN is not self.filtering
        return NatClass.RESTRICTED if known else NatClass.UNKNOWN


class BehaviourTest:
    """`question` is what to ask next, None at the end; `note` takes the answer, None for silence. ``own_hosts`` are this
    machine's addresses, ``port`` the tested socket's."""

    __slots__ = ("_answered", "_asked", "_filtering", "_own", "_script", "_seen", "question")

    def __init__(self, servers: list[HostPort], own_hosts: frozenset[str], port: int) -> None:
        self._own = (own_hosts, port)
        self._seen: dict[HostPort, HostPort] = {}
        self._filtering = Filtering.UNKNOWN
        self._asked = self._answered = 0
        self._script: _Script = self._play(list(servers))
        self.question: Question | None = next(self._script, None)

    def note(self, answer: Answer | None) -> None:
        """What came of the question, None for silence; a server's error counts as silence."""
        asked = self.question
        if asked is None:
            return
        if answer is not None and answer.mapped is None:
            answer = None
        if not asked.silence_tells:
            self._asked += 1
            self._answered += answer is not None
        if answer is not None and answer.mapped is not None and not asked.fresh:
            self._seen[asked.server] = answer.mapped
        try:
            self.question = self._script.send(answer)
        except StopIteration:
            self.question = None

    @property
    def result(self) -> Behaviour:
        """What is known so far."""
        outside = next(iter(self._seen.values()), None)
        hosts, port = self._own
        translated = None if outside is None else not (outside[0] in hosts and outside[1] == port)
        return Behaviour(self._mapping(), self._filtering, outside, translated, self._answered, self._asked)

    @property
    def seen(self) -> list[tuple[HostPort, HostPort]]:
        """Each address that was asked, and what it saw the tested socket as."""
        return list(self._seen.items())

    # -- the order of questions ---------------------------------------------------------------------------------------

    def _play(self, servers: list[HostPort]) -> _Script:
        tested = False
        for server in servers:
            answer = yield Question(server, (server,))
            other = None if answer is None else answer.other
            if tested or other is None or not _credible(server, other):
                continue
            tested = True
            for further in ((other[0], server[1]), other):
                yield Question(further, (further,))
            yield from self._play_filtering(server, other)

    def _play_filtering(self, server: HostPort, other: HostPort) -> _Script:
        if (yield Question(server, (server,), fresh=True)) is None:
            return
        both = Question(
            server, (other,), change_address=True, change_port=True, fresh=True, silence_tells=True
        )
        if (yield both) is not None:
            self._filtering = Filtering.ENDPOINT_INDEPENDENT
            return
        port = Question(server, ((server[0], other[1]),), change_port=True, fresh=True, silence_tells=True)
        heard = (yield port) is not None
        self._filtering = Filtering.ADDRESS_DEPENDENT if heard else Filtering.ADDRESS_AND_PORT_DEPENDENT

    def _mapping(self) -> Mapping:
        seen = list(self._seen.items())
        if len({server[0] for server, _ in seen}) < 2:
            differs = len({outside for _, outside in seen}) > 1
            return Mapping.ADDRESS_AND_PORT_DEPENDENT if differs else Mapping.UNKNOWN
        if len({outside for _, outside in seen}) == 1:
            return Mapping.ENDPOINT_INDEPENDENT
        by_host: dict[str, set[HostPort]] = {}
        for server, outside in seen:
            by_host.setdefault(server[0], set()).add(outside)
        within = any(len(outsides) > 1 for outsides in by_host.values())
        several_ports = len(seen) > len(by_host)
        if within or not several_ports:
            return Mapping.ADDRESS_AND_PORT_DEPENDENT
        return Mapping.ADDRESS_DEPENDENT


def _credible(server: HostPort, other: HostPort) -> bool:
    """Whether the second address a server names can be its own: another host and port of the same family and as public
    as the first, so that no server makes us knock at a neighbour's."""
    if other[0] == server[0] or other[1] in (server[1], 0) or (":" in other[0]) != (":" in server[0]):
        return False
    theirs, named = Multiaddr.from_udp(*server), Multiaddr.from_udp(*other)
    return all(judge(theirs) == judge(named) for judge in (is_public, is_private, is_loopback))
