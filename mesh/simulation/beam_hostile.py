"""Attackers on Beam's routes, one class a kind. Each is connected like others and spreads gossip like others, so that
nothing but what it does gives it away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mesh.codecs.beam_route import RouteStatus
from mesh.identity.envelope import seal
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.chain_rules import Chain
from mesh.protocols.beam.gossip_message import (
    DOMAIN,
    MAX_BANDWIDTH,
    MAX_LINKS,
    PAYLOAD_TYPE,
    QUERY,
    ROUTE_UPDATE,
    Link,
)
from mesh.protocols.gossip.rumours import Kind, Rumour
from mesh.simulation.beam_nodes import EPOCH_S, HONEST, RouteNode

if TYPE_CHECKING:
    from mesh.simulation.beam_routing import Path, RoutingNetwork

FORGE_MS: Final = 5000
LOOP_MS: Final = 10_000
HOARD_MS: Final = 1000
KEEP_MS: Final = 20_000
FLOOD_MS: Final = 100
FLOOD_COPIES: Final = 3
IDENTITIES: Final = 12
"""That a hoarder has at its one address."""


class Hostile(RouteNode):
    """What all have in common: they say that they forward."""

    def __init__(self, network: RoutingNetwork, number: int) -> None:
        super().__init__(network, number)
        self.forwards = True

    def tried(self, what: str, count: int = 1) -> None:
        self.network.tried(self.kind, what, count)

    def links(self) -> list[Link]:
        """Their true ones and those they boast of, as far as an update goes."""
        boasted = self.boasts()
        true = [each for each in super().links() if each.peer not in boasted]
        perfect = [Link(peer, 0.0, MAX_BANDWIDTH, 1.0, 0.0) for peer in boasted]
        return [*perfect, *true][:MAX_LINKS]

    def boasts(self) -> set[PeerId]:
        """To whom it claims perfect links."""
        return set()


class BlackHole(Hostile):
    """Takes chains and circuits and passes nothing on: from the first byte, or from some seconds on."""

    kind = "black hole"

    def __init__(self, network: RoutingNetwork, number: int) -> None:
        super().__init__(network, number)
        self._lasts_s = 0.0 if number % 2 else 1.0 + 8.0 * self.chance.random()

    def extend(self, before: RouteNode, hops: Sequence[PeerId]) -> Chain | RouteStatus | None:
        self.tried("chains taken")
        return super().extend(before, hops)

    def passes(self, age_s: float) -> bool:
        return age_s < self._lasts_s


class Liar(Hostile):
    """Tells of perfect links with everybody, takes what is sent to it for that, and forges what others tell of theirs."""

    kind = "false updates"

    def start(self) -> None:
        super().start()
        self.network.world.after(self.chance.randrange(FORGE_MS), self._forge)

    def boasts(self) -> set[PeerId]:
        others = self.network.honest
        return {each.peer for each in self.chance.sample(others, min(MAX_LINKS, len(others)))}

    def extend(self, before: RouteNode, hops: Sequence[PeerId]) -> Chain | RouteStatus | None:
        self.tried("chains taken")
        return None

    def passes(self, age_s: float) -> bool:
        return False

    def _forge(self) -> None:
        """In another's name, changed on the way, and older than may be."""
        network = self.network
        network.world.after(FORGE_MS, self._forge)
        victim = self.chance.choice(network.honest)
        genuine = victim.message(ROUTE_UPDATE, {"links": []})
        text = b'{"type":"ROUTE_UPDATE","id":"1","origin":"%s","ts":%d,"ttl":8,"body":{"links":[]}}'
        now_ms = round((EPOCH_S + network.world.now_s) * 1000)
        stolen = seal(self.key, DOMAIN, PAYLOAD_TYPE, text % (str(victim.peer).encode(), now_ms))
        changed = genuine.envelope[:-1] + bytes([genuine.envelope[-1] ^ 1])
        old = seal(self.key, DOMAIN, PAYLOAD_TYPE, text % (str(self.peer).encode(), now_ms - 200_000))
        for envelope in (stolen, changed, old):
            rumour = Rumour(network.digest(envelope), victim.peer, Kind.ROUTE_UPDATE, envelope)
            for other in self.neighbours.values():
                self.tried("forged and old updates")
                network.send(self, other, other.hear, self, rumour)


class Looper(Hostile):
    """Tells of a ring of perfect links among its like, asks for chains that come back, and sends back what it is to
    pass on."""

    kind = "route loops"

    def start(self) -> None:
        super().start()
        self.network.world.after(self.chance.randrange(LOOP_MS), self._loop)

    def boasts(self) -> set[PeerId]:
        return {each.peer for each in self.network.hostile if isinstance(each, Looper) and each is not self}

    def extend(self, before: RouteNode, hops: Sequence[PeerId]) -> Chain | RouteStatus | None:
        self.tried("chains sent back")
        if before.kind == HONEST:
            before.extend(self, [self.peer, *hops][:4])
            before.extend(self, [*hops, self.peer][:4])
        return RouteStatus.FAILED

    def _loop(self) -> None:
        self.network.world.after(LOOP_MS, self._loop)
        for other in [each for each in self.neighbours.values() if each.kind == HONEST]:
            for hops in ([self.peer], [other.peer, self.peer], [*list(other.neighbours)[:1] * 2]):
                self.tried("chains that come back")
                other.extend(self, hops)


class Hoarder(Hostile):
    """Takes every place for chains that it gets, and reservations at every relay by as many identities as it can make
    up at its address. Nothing goes through its chains, or just enough for them to stay."""

    kind = "hoarders"

    def start(self) -> None:
        super().start()
        self.network.world.after(self.chance.randrange(HOARD_MS), self._hoard)
        self.network.world.after(0, self._reserve)

    def _hoard(self) -> None:
        self.network.world.after(HOARD_MS, self._hoard)
        for other in self.neighbours.values():
            onward = [each for each in other.neighbours.values() if each.forwards and each is not self]
            if other.forwards and onward:
                further = self.chance.choice(onward)
                target = self.chance.choice(list(further.neighbours))
                self.tried("chains asked for")
                if target not in (self.peer, other.peer):
                    hops = (self, other, further, self.network.at(target))
                    self.network.dial_chain(hops, self._keep if self.number % 2 else _leave)

    def _keep(self, path: Path | RouteStatus) -> None:
        """A byte now and then."""
        if not isinstance(path, RouteStatus) and path.passes():
            self.network.world.after(KEEP_MS, self._keep, path)

    def _reserve(self) -> None:
        address = f"10.{self.number >> 8}.{self.number & 255}.1"
        for relay in self.network.relays:
            for number in range(IDENTITIES):
                self.tried("reservations asked for")
                identity = b"\x00\x24\x08\x01\x12\x20" + (self.number * 1000 + number).to_bytes(32, "big")
                if not relay.reserve(PeerId(identity), address):
                    self.network.refused(self.kind, "reservation too many")


class Flooder(Hostile):
    """Says something new, signed, ten times a second to every neighbour, and each several times."""

    kind = "gossip floods"

    def start(self) -> None:
        super().start()
        self.network.world.after(self.chance.randrange(FLOOD_MS), self._flood)

    def _flood(self) -> None:
        network = self.network
        network.world.after(FLOOD_MS, self._flood)
        message = self.message(QUERY, {"services": ["nobody.has.this"]})
        network.note(message, self)
        rumour = Rumour(message.digest, self.peer, Kind.ANNOUNCE, message.envelope)
        for other in self.neighbours.values():
            self.tried("messages", FLOOD_COPIES)
            if not other.hearing.admits(self.peer, network.world.now_s):
                network.refused(self.kind, "not listened to", FLOOD_COPIES)
                continue
            for _ in range(FLOOD_COPIES):
                network.send(self, other, other.hear, self, rumour)


def _leave(_path: Path | RouteStatus) -> None:
    """A chain that is there is all that is wanted."""


KINDS: Final = (BlackHole, Liar, Looper, Hoarder, Flooder)
