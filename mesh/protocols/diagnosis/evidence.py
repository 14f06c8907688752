"""What a node can see of what stands between it and others, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What became of asking somebody for something."""

    NONE = "reached"
    REFUSED = "nobody listens there"
    SILENT = "no answer"
    NO_ROUTE = "no route"
    NO_ADDRESS = "the name leads nowhere"
    WRONG_PEER = "another peer answered"
    OWN_LIMIT = "refused by this node's own limit"
    NO_RESERVATION = "the peer holds no reservation there"
    CIRCUITS_FULL = "the relay passes no further circuit"
    RELAY_FULL = "the relay has no room"
    NOT_A_RELAY = "it relays for nobody"
    EXPIRED = "what it dated is out of its time here"
    RELAY_UNREACHED = "the relay was not reached"
    OTHER = "it failed otherwise"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One address that was tried: ``transport`` is `tcp`, `quic`, `circuit` or empty, ``family`` `ip4`, `ip6` or empty.
    ``said`` is the failure in words, ``found`` the peer that answered in another's place, or the setting that limits."""

    address: str
    transport: str
    family: str
    fault: Fault
    said: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class AddressSeen:
    """An address of this node: how many peers ``reached`` it when asked to and how many ``missed`` it, whether others are
    ``told`` of it, whether the settings name it (``configured``), and how many networks ``observed`` the node there."""

    address: str
    told: bool
    configured: bool
    reached: int
    missed: int
    observed: int


@dataclass(frozen=True, slots=True)
class RelaySeen:
    """A relay of the settings: whether it is ``held``, else what became of asking it; a pending one has no fault."""

    relay: str
    held: bool
    fault: Fault
    said: str = ""


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """The way out, asked with datagrams of a short life: the routers that answered by their distance, whether they are
    addresses of a private or a carrier's network, whether a datagram came beyond the first router, and the longest IP
    packet that did (0: none was tried)."""

    target: str = ""
    routers: tuple[tuple[int, str, bool], ...] = ()
    beyond: bool = False
    longest_bytes: int = 0

    @property
    def asked(self) -> bool:
        """Whether anything answered at all: silence of all routers tells nothing."""
        return bool(self.routers)

    @property
    def udp_blocked(self) -> bool:
        """Whether the first router answered and nobody behind it."""
        return self.asked and not self.beyond

    @property
    def inner(self) -> tuple[str, ...]:
        """Routers beyond the first that are inside of some private network."""
        return tuple(address for distance, address, private in self.routers if private and distance > 1)


FULL_BYTES = 1280
"""What every way must carry for IPv6 (RFC 8200), and what QUIC's first packets need (RFC 9000 section 14)."""


@dataclass(frozen=True, slots=True)
class NatEvidence:
    """What tells why others do not reach this node.

    ``hosts`` are the addresses of the machine's interfaces but loopback's, ``outside`` those that others saw.
    ``mapping`` is `same`, `different` or `unknown`: whether one socket is seen alike by all. ``relays_near`` are
    addresses of connected peers that relay and are not in the settings. ``port`` is where it listens, ``inside`` the
    address a router would forward to.
    ``port_mapping`` is how asking the router stands (`off`, `mapped`, `private` and its like), ``gateway`` that router,
    ``mapped_host`` the outer address that it says leads here.
    """

    listens_beyond: bool
    hosts: tuple[str, ...] = ()
    port: int = 0
    transports: tuple[str, ...] = ()
    inside: str = ""
    public_host: bool = False
    begins_with: tuple[Attempt, ...] = ()
    peers: int = 0
    finds_peers: bool = False
    addresses: tuple[AddressSeen, ...] = ()
    announce: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    mapping: str = "unknown"
    observers: int = 0
    relays: tuple[RelaySeen, ...] = ()
    relays_near: tuple[str, ...] = ()
    punching: bool = False
    route: RouteSeen = field(default_factory=RouteSeen)
    port_mapping: str = "off"
    gateway: str = ""
    mapped_host: str = ""

    @property
    def translated(self) -> bool:
        """Whether others see an address that no interface has."""
        return any(each not in self.hosts for each in self.outside)

    @property
    def held(self) -> tuple[RelaySeen, ...]:
        """Relays that hold a reservation for this node."""
        return tuple(each for each in self.relays if each.held)

    @property
    def reached(self) -> tuple[AddressSeen, ...]:
        """Addresses that others are told and strangers did reach."""
        return tuple(each for each in self.addresses if each.told and each.reached > each.missed)

    @property
    def missed(self) -> tuple[AddressSeen, ...]:
        """Addresses that strangers could not reach."""
        return tuple(each for each in self.addresses if each.missed > each.reached)


@dataclass(frozen=True, slots=True)
class PathEvidence:
    """What tells why the path to ``peer`` is what it is: ``path`` is `direct`, `relayed` or `none`.

    ``attempts`` are its addresses as dialled, ``beside`` what was tried at the same places over the other transport.
    ``offered`` are addresses at which the peer asked to be punched to, with those it says it is at (``peer_hosts``).
    ``punches`` are the causes of failed attempts; ``peer_punches`` is None where the peer has not said what it speaks.
    """

    peer: str
    path: str
    own: NatEvidence
    attempts: tuple[Attempt, ...] = ()
    beside: tuple[Attempt, ...] = ()
    relay: str = ""
    peer_punches: bool | None = None
    offered: tuple[tuple[str, str, int], ...] = ()
    peer_hosts: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    punches: tuple[str, ...] = ()
    own_families: tuple[str, ...] = ()
