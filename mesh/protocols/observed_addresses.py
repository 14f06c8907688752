"""What others say this node's address is, and when to believe it (go-libp2p's rules; libp2p digest, section 19).

Each connection has one vote: its peer saw a socket of ours, `/ip4/192.168.1.4/udp/4001`, as some outside address. Voters
count by the network they are in (an IPv4 address, an IPv6 /56). Four of them make an address believed, one makes it good
enough to try a hole punch with. A vote lasts half an hour beyond its connection. From how the votes for one socket are
spread follows what kind of NAT stands before it, judged anew with every vote: two that agree prove nothing for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mesh.multiformats.ip_ranges import is_private, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6, TCP, UDP

BELIEVED_FROM: Final = 4
MAX_PER_SOCKET: Final = 3
KEPT_S: Final = 1800.0
MAX_VOTES: Final = 4096
_OBSERVER6_BYTES: Final = 7
_ANY: Final = {IP4: bytes(4), IP6: bytes(16)}


class NatKind(StrEnum):
    """How a NAT maps one socket towards different peers."""

    UNKNOWN = "unknown"
    CONE = "cone"
    SYMMETRIC = "symmetric"


@dataclass(frozen=True, slots=True)
class Observation:
    """A vote: ``observer`` saw our socket ``local`` as ``outside``; both are host and port alone."""

    local: Multiaddr
    outside: Multiaddr
    observer: bytes


@dataclass(frozen=True, slots=True)
class Outside:
    """An outside address of a socket and how many observers vouch for it."""

    local: Multiaddr
    address: Multiaddr
    observers: int

    @property
    def believed(self) -> bool:
        """Whether enough agree for it to be announced."""
        return self.observers >= BELIEVED_FROM


def socket_of(address: Multiaddr) -> Multiaddr | None:
    """Host and port at the front of an address, None when it begins otherwise."""
    parts = address.components
    if len(parts) < 2 or parts[0].code not in _ANY or parts[1].code not in (TCP, UDP):
        return None
    if len(parts) == 2:
        return address
    return Multiaddr.of((parts[0].code, parts[0].value), (parts[1].code, parts[1].value))


def behind_socket(address: Multiaddr) -> tuple[tuple[int, bytes], ...]:
    """The components after host and port."""
    return tuple((each.code, each.value) for each in address.components[2:])


def covers(listening: Multiaddr, local: Multiaddr) -> bool:
    """Whether a connection with the socket ``local`` belongs to the listener: same port, same host or any."""
    own, theirs = listening.components[:2], local.components[:2]
    if len(own) < 2 or len(theirs) < 2 or own[1] != theirs[1] or own[0].code != theirs[0].code:
        return False
    return own[0].value in (theirs[0].value, _ANY.get(own[0].code))


def read_observation(
    local: Multiaddr,
    remote: Multiaddr,
    observed: Multiaddr,
    listening: Iterable[Multiaddr],
    *,
    anywhere: bool = False,
) -> Observation | None:
    """The vote in what a peer at ``remote`` says it sees us as; None when it counts for nothing.

    It counts when the connection left from, or came in to, a socket that listens, when nothing was relayed, and when
    the address is of the socket's own kind and a public one. ``anywhere`` lets private ones count, for closed networks.
    """
    if not anywhere and is_private(remote):
        return None
    if any(each.has("p2p-circuit") for each in (local, remote, observed)):
        return None
    inside, outside, whence = socket_of(local), socket_of(observed), socket_of(remote)
    if inside is None or outside is None or whence is None:
        return None
    if [each.code for each in inside.components] != [each.code for each in outside.components]:
        return None
    if behind_socket(observed) != behind_socket(local) and behind_socket(observed):
        return None
    if not anywhere and not is_public(outside):
        return None
    if not any(covers(each, inside) for each in listening):
        return None
    return Observation(inside, outside, observer_of(whence))


def observer_of(address: Multiaddr) -> bytes:
    """The network a voter is counted by: its IPv4 address, or the first 56 bits of its IPv6 one."""
    host = address.components[0]
    return host.value if host.code == IP4 else host.value[:_OBSERVER6_BYTES]


@dataclass(slots=True)
class _Vote:
    observation: Observation
    ends_at: float | None = None


class ObservedAddresses:
    """The votes, and their sums, kept up to date vote by vote. Connections are named by anything hashable that is theirs
    alone."""

    __slots__ = ("_ending", "_sums", "_votes")

    def __init__(self) -> None:
        self._votes: dict[Hashable, _Vote] = {}
        self._ending: dict[Hashable, None] = {}
        """Those whose connection is gone, the first to go first."""
        self._sums: dict[Multiaddr, dict[Multiaddr, Counter[bytes]]] = {}
        """By socket and outside address: votes of each observer."""

    def __len__(self) -> int:
        return len(self._votes)

    def vote(self, connection: Hashable, observation: Observation, now: float) -> None:
        """A connection's vote; a later one replaces it. When there are too many the oldest goes."""
        self._drop_old(now)
        self._drop(connection)
        if len(self._votes) >= MAX_VOTES:
            self._drop(next(iter(self._votes)))
        self._votes[connection] = _Vote(observation)
        outside = self._sums.setdefault(observation.local, {}).setdefault(observation.outside, Counter())
        outside[observation.observer] += 1

    def close(self, connection: Hashable, now: float) -> None:
        """The connection is gone; its vote lasts a while."""
        vote = self._votes.get(connection)
        if vote is not None and vote.ends_at is None:
            vote.ends_at = now + KEPT_S
            self._ending[connection] = None

    def outside(self, now: float) -> list[Outside]:
        """At most three outside addresses for each socket, those with most observers first; believed or not."""
        self._drop_old(now)
        found: list[Outside] = []
        for local, addresses in self._sums.items():
            ranked = sorted(addresses.items(), key=lambda each: (-len(each[1]), each[0]))
            found += [
                Outside(local, address, len(observers)) for address, observers in ranked[:MAX_PER_SOCKET]
            ]
        return found

    def nat_kind(self, transport: str, now: float) -> tuple[NatKind, int]:
        """The kind of NAT before the sockets of `tcp` or `udp`, and how many observers say so.

        Each observer's latest word counts, so that one alone cannot make many. A socket seen at one address by more
        than half of its observers has a cone before it.
        """
        self._drop_old(now)
        seen: dict[tuple[Multiaddr, bytes], Multiaddr] = {}
        for vote in self._votes.values():
            observation = vote.observation
            if observation.local.has(transport):
                seen[observation.local, observation.observer] = observation.outside
        by_socket: dict[Multiaddr, Counter[Multiaddr]] = {}
        for (local, _), outside in seen.items():
            by_socket.setdefault(local, Counter())[outside] += 1
        total = len(seen)
        if total < BELIEVED_FROM:
            return NatKind.UNKNOWN, total
        agreeing = sum(max(each.values()) for each in by_socket.values())
        return (NatKind.CONE if 2 * agreeing > total else NatKind.SYMMETRIC), total

    def deadline(self) -> float | None:
        """When the next vote goes, None while none is to go."""
        first = next(iter(self._ending), None)
        return None if first is None else self._votes[first].ends_at

    def _drop_old(self, now: float) -> None:
        while (ends_at := self.deadline()) is not None and ends_at <= now:
            self._drop(next(iter(self._ending)))

    def _drop(self, connection: Hashable) -> None:
        vote = self._votes.pop(connection, None)
        if vote is None:
            return
        self._ending.pop(connection, None)
        gone = vote.observation
        addresses = self._sums[gone.local]
        observers = addresses[gone.outside]
        observers[gone.observer] -= 1
        if not observers[gone.observer]:
            del observers[gone.observer]
        if not observers:
            del addresses[gone.outside]
        if not addresses:
            del self._sums[gone.local]


def announced_forms(outside: Outside, listening: Iterable[Multiaddr]) -> list[Multiaddr]:
    """The outside address as each listener on its socket is reached: `/quic-v1` and what else stands behind the port."""
    forms = [
        Multiaddr.of(*((part.code, part.value) for part in outside.address.components), *behind_socket(each))
        for each in listening
        if covers(each, outside.local)
    ]
    return list(dict.fromkeys(forms))
