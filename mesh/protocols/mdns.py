"""Peers on the same link, by multicast DNS (libp2p specs, discovery/mdns.md; RFC 6762): what to ask, answer and believe.

A service is asked for with a PTR question; whoever offers it answers with a PTR to a random name of its own, and a TXT
record of that name holds `dnsaddr=<multiaddr>` strings. Nobody needs the SRV and address records besides, but go-libp2p
takes no notice of an answer without them. The machine hears and says records; how they look in a packet
is the caller's business. Each link (an interface) has its own times. Nothing heard here is proven: a peer that somebody
names falsely costs a dial. Tables are bounded, a flood pushes nobody out, and new peers come at a limited rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Final

from mesh.codecs.mdns import MAX_STRING_BYTES, PeerAddress, decode_txt, encode_txt
from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.allowance import Allowance

TTL_S: Final = 120.0
LONGEST_TTL_S: Final = 300.0
FIRST_QUERY_S: Final = 1.0
LONGEST_QUERY_S: Final = 60.0
ANSWER_PAUSE_S: Final = 1.0
"""Between two answers on a link, whoever asks (RFC 6762, section 6)."""
ANSWER_DELAY_S: Final = (0.02, 0.12)
ANNOUNCEMENTS: Final = 2
MAX_INSTANCES: Final = 512
MAX_PEERS: Final = 512
PEERS_OF_INSTANCE: Final = 8
INSTANCES_OF_PEER: Final = 4
STRINGS_READ: Final = 64
TXT_BYTES: Final = 1300
"""Of our own record: the packet has to fit in one frame."""
PACKETS_PER_S: Final = 50.0
PACKETS_AT_ONCE: Final = 200.0
RESOLUTIONS_PER_S: Final = 1.0

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_INDIRECT: Final = frozenset(
    ["p2p-circuit", "webtransport", "webrtc", "webrtc-direct", "p2p-webrtc-direct", "ws", "wss"]
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet, names in lower case. ``asked`` are its PTR and TXT questions, ``known`` the instances that a question
    says it knows; ``pointers`` (service, instance, TTL) and ``texts`` (name, TTL, data) are the records of an answer."""

    asked: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    pointers: tuple[tuple[str, str, float], ...] = ()
    texts: tuple[tuple[str, float, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """Ask on a link: for the PTR records of a service, or with ``instance`` for the TXT record of one."""

    link: str
    name: str
    instance: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Say on a link that ``instance`` offers the service, and where: in ``txt``, and once more as a port and ``hosts``
    (at most an IPv4 and an IPv6 address). A TTL of 0 takes it back."""

    link: str
    instance: str
    txt: bytes
    ttl_s: float
    port: int = 0
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerHeard:
    """A peer is said to be on a link, at these addresses: one more time, or for the first."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    link: str


@dataclass(slots=True)
class LinkCounts:
    """Packets of one link: ``dropped`` came too fast, ``malformed`` could not be read, ``refused`` counts peers beyond
    the limits."""

    queries_heard: int = 0
    answers_heard: int = 0
    queries_sent: int = 0
    answers_sent: int = 0
    dropped: int = 0
    malformed: int = 0
    refused: int = 0


@dataclass(slots=True)
class HeardPeer:
    """A peer in the table, with what each instance name says of it."""

    peer: PeerId
    link: str
    first_at: float
    heard_at: float
    said: dict[str, tuple[Multiaddr, ...]] = field(default_factory=dict)

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """All of them, in turn from each instance: none that lies can push out what the others say."""
        rows = zip_longest(*self.said.values())
        return tuple(dict.fromkeys(each for row in rows for each in row if each is not None))


@dataclass(slots=True)
class _Instance:
    txt: bytes
    expires_at: float
    peers: tuple[PeerId, ...] = ()
    complete: bool = False
    """Whether every peer of the record came into the table."""


@dataclass(slots=True)
class _Link:
    txt: bytes
    port: int
    hosts: tuple[str, ...]
    packets: Allowance
    query_at: float
    pause_s: float = FIRST_QUERY_S
    answer_at: float | None = None
    answered_at: float = float("-inf")
    announcements: int = ANNOUNCEMENTS
    counts: LinkCounts = field(default_factory=LinkCounts)


class Mdns:
    """The machine. ``service`` is a name such as `_p2p._udp.local`, ``instance`` the random name of this node,
    ``entropy`` gives numbers from 0 to 1 that spread answers in time."""

    __slots__ = (
        "_entropy",
        "_events",
        "_instances",
        "_learning",
        "_links",
        "_local",
        "_output",
        "_resolving",
        "_service",
        "instance",
        "peers",
    )

    def __init__(
        self,
        service: str,
        instance: str,
        local: PeerId,
        peers_per_minute: int,
        entropy: Callable[[], float],
    ) -> None:
        self._service = service.lower()
        self.instance = f"{instance}.{self._service}"
        self._local = local
        self._entropy = entropy
        self._links: dict[str, _Link] = {}
        self._instances: dict[str, _Instance] = {}
        self.peers: dict[PeerId, HeardPeer] = {}
        self._learning = Allowance(peers_per_minute / 60.0, float(peers_per_minute))
        self._resolving = Allowance(RESOLUTIONS_PER_S, 10.0)
        self._output: list[Query | Answer] = []
        self._events: list[PeerHeard] = []

    # -- links -------------------------------------------------------------------------------------------------------

    def set_link(self, link: str, addresses: Iterable[Multiaddr], now: float) -> None:
        """A link is there, and this node is reached over it at these addresses. Announced when that is news."""
        told = tuple(filter(is_publishable, addresses))
        txt = txt_of(told, self._local)
        known = self._links.get(link)
        if known is None:
            delay = self._delay()
            packets = Allowance(PACKETS_PER_S, PACKETS_AT_ONCE)
            answer_at = now + delay if txt else None
            self._links[link] = _Link(txt, *hosts_of(told), packets, now + delay, answer_at=answer_at)
        elif known.txt != txt:
            known.txt = txt
            known.port, known.hosts = hosts_of(told)
            known.announcements = ANNOUNCEMENTS
            known.answer_at = now + self._delay() if txt else None

    def remove_link(self, link: str) -> None:
        """A link has gone; what was heard on it expires by itself."""
        self._links.pop(link, None)

    def counts(self, link: str) -> LinkCounts:
        """The figures of a link. Raises `KeyError` for one that is not there."""
        return self._links[link].counts

    def close(self) -> None:
        """Take back what was said, on every link; `output` has it."""
        self._output += [self._answer(name, link, 0.0) for name, link in self._links.items() if link.txt]
        self._links.clear()

    # -- hearing -----------------------------------------------------------------------------------------------------

    def admit(self, link: str, now: float) -> bool:
        """Whether another packet of a link is to be read at all."""
        state = self._links.get(link)
        if state is None:
            return False
        if state.packets.take(now):
            return True
        state.counts.dropped += 1
        return False

    def receive(self, link: str, heard: Heard, now: float) -> None:
        """A packet came in on a link; one of this node's own too, which every link hears as well."""
        state = self._links.get(link)
        if state is None:
            return
        if heard.asked:
            state.counts.queries_heard += 1
            wanted = {self._service, self.instance}
            if wanted.intersection(heard.asked) and self.instance not in heard.known and state.txt:
                earliest = max(now + self._delay(), state.answered_at + ANSWER_PAUSE_S)
                state.answer_at = min(earliest, state.answer_at or earliest)
        if heard.texts or heard.pointers:
            state.counts.answers_heard += 1
            told = {name for name, _, _ in heard.texts}
            for service, instance, ttl_s in heard.pointers:
                if service == self._service and instance not in told:
                    self._take_pointer(link, instance, ttl_s, now)
            for name, ttl_s, txt in heard.texts:
                if name.endswith(f".{self._service}") and name != self.instance:
                    self._take_text(link, name, ttl_s, txt, now)

    def _take_pointer(self, link: str, instance: str, ttl_s: float, now: float) -> None:
        """A name without its record: ask for that, or let it go."""
        if instance == self.instance or not instance.endswith(f".{self._service}"):
            return
        known = self._instances.get(instance)
        if ttl_s <= 0:
            if known is not None:
                known.expires_at = now
        elif known is None and self._resolving.take(now):
            self._output.append(Query(link, instance, instance=True))
            self._links[link].counts.queries_sent += 1

    def _take_text(self, link: str, name: str, ttl_s: float, txt: bytes, now: float) -> None:
        self._expire(now)
        known = self._instances.get(name)
        if ttl_s <= 0:
            if known is not None:
                self._forget(name)
            return
        if known is None and len(self._instances) >= MAX_INSTANCES:
            self._links[link].counts.refused += 1
            return
        expires_at = now + min(ttl_s, LONGEST_TTL_S)
        if known is None or known.txt != txt or not known.complete:
            self._forget(name)
            known = self._instances[name] = _Instance(txt, expires_at)
            told = [each for each in peers_in(txt) if each[0] != self._local]
            known.peers = tuple(
                peer for peer, addresses in told if self._learn(link, name, peer, addresses, now)
            )
            known.complete = len(known.peers) == len(told)
        known.expires_at = expires_at
        for peer in known.peers:
            if (found := self.peers.get(peer)) is not None:
                found.heard_at, found.link = now, link
                self._events.append(PeerHeard(peer, found.addresses, link))

    def _learn(
        self, link: str, name: str, peer: PeerId, addresses: tuple[Multiaddr, ...], now: float
    ) -> bool:
        found = self.peers.get(peer)
        if found is None:
            if len(self.peers) >= MAX_PEERS or not self._learning.take(now):
                self._links[link].counts.refused += 1
                return False
            found = self.peers[peer] = HeardPeer(peer, link, now, now)
        elif len(found.said) >= INSTANCES_OF_PEER:
            self._links[link].counts.refused += 1
            return False
        found.said[name] = addresses
        return True

    def _forget(self, name: str) -> None:
        gone = self._instances.pop(name, None)
        for peer in gone.peers if gone is not None else ():
            found = self.peers.get(peer)
            if found is not None:
                found.said.pop(name, None)
                if not found.said:
                    del self.peers[peer]

    def _expire(self, now: float) -> None:
        for name in [name for name, each in self._instances.items() if each.expires_at <= now]:
            self._forget(name)

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `wake` is to be called next; None without a link."""
        times = [
            at for link in self._links.values() for at in (link.query_at, link.answer_at) if at is not None
        ]
        return min(times, default=None)

    def wake(self, now: float) -> None:
        """Say what is due."""
        for name, link in self._links.items():
            if link.query_at <= now:
                self._output.append(Query(name, self._service))
                link.counts.queries_sent += 1
                link.query_at = now + link.pause_s * (1.0 + 0.1 * self._entropy())
                link.pause_s = min(2.0 * link.pause_s, LONGEST_QUERY_S)
            if link.answer_at is not None and link.answer_at <= now:
                self._output.append(self._answer(name, link, TTL_S))
                link.counts.answers_sent += 1
                link.answered_at, link.answer_at = now, None
                link.announcements -= 1
                if link.announcements > 0:
                    link.answer_at = now + ANSWER_PAUSE_S
        self._expire(now)

    def output(self) -> list[Query | Answer]:
        """What is to be said now."""
        said, self._output = self._output, []
        return said

    def events(self) -> list[PeerHeard]:
        """What was heard since the last call."""
        heard, self._events = self._events, []
        return heard

    def _answer(self, name: str, link: _Link, ttl_s: float) -> Answer:
        return Answer(name, self.instance, link.txt, ttl_s, link.port, link.hosts)

    def _delay(self) -> float:
        least, most = ANSWER_DELAY_S
        return least + (most - least) * self._entropy()


def instance_name(entropy: bytes) -> str:
    """A random name of 32 to 63 lower-case letters and digits, from 64 random bytes."""
    length = 32 + entropy[0] % 32
    return "".join(_LETTERS[each % len(_LETTERS)] for each in entropy[1 : length + 1])


def is_publishable(address: Multiaddr) -> bool:
    """Whether an address is told to a link: direct, by IP, without relays and what only browsers speak."""
    names = [each.name for each in address.components]
    return bool(names) and names[0] in ("ip4", "ip6") and not _INDIRECT.intersection(names)


def hosts_of(addresses: Iterable[Multiaddr]) -> tuple[int, tuple[str, ...]]:
    """The first port, and the first host of each kind."""
    port, hosts = 0, dict[str, str]()
    for address in addresses:
        port = port or int(address.value("tcp") or address.value("udp") or 0)
        hosts.setdefault(address.components[0].name, address.components[0].text)
    return port, tuple(hosts.values())


def txt_of(addresses: Iterable[Multiaddr], peer: PeerId) -> bytes:
    """The TXT record that says where a peer is: as many publishable addresses as fit, in their order; empty for none."""
    strings: list[bytes] = []
    size = 0
    suffix = Multiaddr.parse(f"/p2p/{peer}")
    for address in filter(is_publishable, addresses):
        text = str(address.without_peer() / suffix)
        if len(text) + len("dnsaddr=") > MAX_STRING_BYTES:
            continue
        string = PeerAddress(text).encode()
        if string not in strings and size + len(string) + 1 <= TXT_BYTES:
            size += len(string) + 1
            strings.append(string)
    return encode_txt(strings)


def peers_in(txt: bytes) -> Sequence[tuple[PeerId, tuple[Multiaddr, ...]]]:
    """Peers of a TXT record and the addresses it gives them, without their ids; strings of another form are skipped."""
    try:
        strings, _ = decode_txt(txt)
    except DecodeError:
        return ()
    found: dict[PeerId, dict[Multiaddr, None]] = {}
    for string in strings[:STRINGS_READ]:
        try:
            address = Multiaddr.parse(PeerAddress.decode(string).address)
            data = address.peer_id_bytes()
            peer = PeerId.from_bytes(data) if data is not None else None
        except DecodeError:
            continue
        if peer is not None and (bare := address.without_peer()):
            found.setdefault(peer, {})[bare] = None
    return [(peer, tuple(addresses)) for peer, addresses in islice(found.items(), PEERS_OF_INSTANCE)]
