"""`node.reachability`: a verdict for the node and for each address, with where it comes from and how sure it is.

Three sources: what peers say they see us as (identify), what they find when they dial back (AutoNAT), and STUN servers,
if any are configured. What was confirmed is announced; what follows for the DHT's `auto` mode is told to the node.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from mesh.config import Config
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.protocols.autonat.address_states import AddressState
from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.observed_addresses import (
    NatKind,
    Observation,
    ObservedAddresses,
    Outside,
    announced_forms,
    read_observation,
)
from mesh.protocols.stun.behaviour import NatClass
from mesh.services.autonat import v1_server, v2_server
from mesh.services.autonat.dialing import DialBack
from mesh.services.autonat.v1_server import V1Server
from mesh.services.autonat.v2_client import V2Client
from mesh.services.autonat.v2_server import V2Server
from mesh.services.port_mapping import PortMapping
from mesh.services.reachability.advice import advise
from mesh.services.reachability.announcing import Announcing
from mesh.services.reachability.asking import Asking
from mesh.services.reachability.host import Host
from mesh.services.reachability.stun import StunTests
from mesh.services.registry import Registry
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

SERVED: Final = frozenset((v1_server.PROTOCOL_ID, v2_server.DIAL_REQUEST_ID))
"""What a peer is asked by."""


@dataclass(frozen=True, slots=True)
class AddressReport:
    """One address: its ``state``, the ``source`` of that (`autonat-v2`, `mapped`, `observed`, `configured`, `listening`),
    and a ``confidence`` of 0 to 3; ``observers`` is how many networks saw us there."""

    address: Multiaddr
    state: Reachability
    source: str
    confidence: int
    observers: int = 0


@dataclass(frozen=True, slots=True)
class NatReport:
    """What observers tell of the NAT before the sockets of one transport, and how many they are."""

    transport: str
    kind: NatKind
    observers: int


class ReachabilityService:
    """Begins with the node, ends with it; ``secret`` is the node's own. The servers are `v1` and `v2`, the client of
    version 2 `client`, the ports of the router `mapping`."""

    def __init__(
        self,
        host: Host,
        config: Config,
        secret: bytes,
        registry: Registry,
        counters: Counters,
    ) -> None:
        settings, network = config.autonat, config.network
        self._host = host
        self._settings = settings
        self._counters = counters
        self._anywhere = anywhere = settings.private_addresses
        self._votes = ObservedAddresses()
        self._announcing = Announcing(network.announce, network.append_announce, network.no_announce)
        self._dialing = DialBack(host.make_stranger, host.allows)
        self.v1 = V1Server(self._dialing, counters, anywhere=anywhere)
        self.v2 = V2Server(self._dialing, counters, anywhere=anywhere)
        self.client = V2Client(counters)
        self.asking = Asking(
            host, self.client, self._candidates, self._verdict_changed, counters, anywhere=anywhere
        )
        self._stun_servers = config.stun.servers
        self.stun = StunTests(config.stun, lambda: host.swarm, self._seen_by_stun, counters)
        self.mapping = PortMapping(
            config.port_mapping,
            lambda: host.swarm.listen_addresses,
            self._addresses_changed,
            secret,
            counters,
            anywhere=anywhere,
        )
        self._told: Reachability | None = None
        self._told_confirmed: frozenset[Multiaddr] = frozenset()
        if settings.serve:
            registry.add(v1_server.PROTOCOL_ID, self.v1.serve)
            registry.add(v2_server.DIAL_REQUEST_ID, self.v2.serve)
        if settings.ask:
            registry.add(v2_server.DIAL_BACK_ID, self.client.serve_dial_back)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Serve and ask, as the settings say."""
        self._dialing.start(scope)
        if self._settings.ask:
            scope.spawn(self.asking.run(), "reachability")
        if self._stun_servers:
            scope.spawn(self.stun.run(), "STUN tests")
        await self.mapping.start(scope)
        self._verdict_changed()

    async def stop(self) -> None:
        """Dial nobody any more, and give the router its ports back."""
        await self.mapping.stop()
        await self._dialing.stop()

    # -- what happens to peers ---------------------------------------------------------------------------------------

    def identified(self, connection: Connection, observed: Multiaddr | None) -> None:
        """A peer said what it serves and as what it sees us."""
        if observed is not None:
            vote = read_observation(
                connection.local,
                connection.remote,
                observed,
                self._host.swarm.listen_addresses,
                anywhere=self._anywhere,
            )
            self._counters.count(f"observed.{'counted' if vote else 'ignored'}")
            if vote is not None:
                self.observe(_voter(connection), vote)
        if SERVED & (connection.remote_protocols or frozenset()):
            self.asking.hurry()

    def disconnected(self, connection: Connection) -> None:
        """A connection is gone; its vote stays a while."""
        self._votes.close(_voter(connection), time.monotonic())

    def network_changed(self) -> None:
        """This machine's own addresses are others now."""
        self.asking.confidence.hurry(time.monotonic())
        self.asking.hurry()
        self.mapping.network_changed()
        self._host.addresses_changed()

    def observe(self, voter: Hashable, vote: Observation) -> None:
        """Somebody saw a socket of ours from outside."""
        self._votes.vote(voter, vote, time.monotonic())
        self._addresses_changed()

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> Reachability:
        """The verdict on the whole node: the setting's, if it has one; else public when an address is; private when all
        that were asked about are; else what version 1 says."""
        if self._settings.reachability != "auto":
            return Reachability(self._settings.reachability)
        states = {each.state for each in self.asking.states.states()}
        if Reachability.PUBLIC in states:
            return Reachability.PUBLIC
        if states == {Reachability.PRIVATE}:
            return Reachability.PRIVATE
        return self.asking.confidence.verdict

    @property
    def source(self) -> str:
        """Where the verdict comes from: `configured`, `autonat-v2`, `autonat-v1`, or nothing."""
        if self._settings.reachability != "auto":
            return "configured"
        states = {each.state for each in self.asking.states.states()}
        if Reachability.PUBLIC in states or states == {Reachability.PRIVATE}:
            return "autonat-v2"
        return "autonat-v1" if self.asking.confidence.verdict is not Reachability.UNKNOWN else ""

    @property
    def confidence(self) -> int:
        """How sure the verdict is, 0 to 3."""
        if self.source == "configured":
            return 3
        if self.source == "autonat-v2":
            state = self.state
            return max(each.confidence for each in self.asking.states.states() if each.state is state)
        return self.asking.confidence.level

    @property
    def addresses(self) -> list[AddressReport]:
        """Every address that others are told or might be, with its verdict."""
        checked = {each.address: each for each in self.asking.states.states()}
        seen = self._seen()
        configured = dict.fromkeys(self._announcing.configured, "configured")
        sources = dict.fromkeys(self._mapped(), "mapped") | configured
        every = dict.fromkeys([*self.announced(), *sources, *seen, *checked])
        return [_report(each, checked.get(each), seen.get(each, 0), sources.get(each, "")) for each in every]

    @property
    def nat(self) -> list[NatReport]:
        """What observers tell of the NAT, by transport."""
        now = time.monotonic()
        return [NatReport(name, *self._votes.nat_kind(name, now)) for name in ("tcp", "udp")]

    @property
    def nat_class(self) -> NatClass:
        """The NAT before UDP sockets in Beam's names: as STUN servers found it, else as far as observers and dial-backs
        tell, which is never how it filters, save that a node that is reached is not filtered."""
        for behaviour in self.stun.behaviours.values():
            if behaviour.nat_class is not NatClass.UNKNOWN:
                return behaviour.nat_class
        kind, _ = self._votes.nat_kind("udp", time.monotonic())
        if kind is NatKind.SYMMETRIC:
            return NatClass.SYMMETRIC
        if self.state is Reachability.PUBLIC:
            direct = any(is_public(each) for each in self._host.listening)
            return NatClass.OPEN if direct else NatClass.FULL_CONE
        return NatClass.RESTRICTED if kind is NatKind.CONE else NatClass.UNKNOWN

    @property
    def advice(self) -> list[str]:
        """What to do next, in words."""
        return advise(
            self.state,
            self.nat_class,
            listens_beyond=self.asking.listens_beyond,
            asks=self._settings.ask,
            servers=self.asking.servers,
            stun=self._stun_servers,
            mapping=self.mapping.status,
        )

    def announced(self) -> list[Multiaddr]:
        """What others are told: where we listen, what enough observers or a dial-back confirmed, what is configured."""
        return self._announcing.shape(self._found)

    @property
    def sightings(self) -> list[Outside]:
        """Sockets of this node and what they were seen as from outside."""
        return self._votes.outside(time.monotonic())

    def punchable(self) -> list[Multiaddr]:
        """Outside addresses that one observer at least saw: good enough to try a hole punch with."""
        return list(self._seen())

    # -- within ------------------------------------------------------------------------------------------------------

    def _seen_by_stun(self, local: Multiaddr, server: Multiaddr, outside: Multiaddr) -> None:
        listening = self._host.swarm.listen_addresses
        vote = read_observation(local, server, outside, listening, anywhere=self._anywhere)
        if vote is not None:
            self.observe(("stun", server), vote)
            self._votes.close(("stun", server), time.monotonic())

    def _seen(self) -> dict[Multiaddr, int]:
        """Outside addresses in the form of each listener, with the number of their observers."""
        listening = self._host.swarm.listen_addresses
        found: dict[Multiaddr, int] = {}
        for outside in self._votes.outside(time.monotonic()):
            for each in announced_forms(outside, listening):
                found[each] = max(found.get(each, 0), outside.observers)
        return found

    def _found(self) -> list[Multiaddr]:
        return [*self._host.listening, *self._confirmed()]

    def _mapped(self) -> list[Multiaddr]:
        """Outside addresses that the router says it forwards to us."""
        return self.mapping.outside(self._host.swarm.listen_addresses)

    def _confirmed(self) -> list[Multiaddr]:
        """Outside addresses that enough observers or a dial-back vouch for, and no dial-back speaks against; of mapped
        ones also those that no observer speaks against, by seeing this node at other hosts alone."""
        seen = self._votes.outside(time.monotonic()) if self._votes else []
        mapped = self._mapped()
        if not seen and not mapped:
            return []
        verdicts = {each.address: each.state for each in self.asking.states.states()}
        listening = self._host.swarm.listen_addresses
        found: dict[Multiaddr, None] = {}
        for outside in seen:
            for each in announced_forms(outside, listening):
                verdict = verdicts.get(each)
                if verdict is Reachability.PUBLIC or (
                    outside.believed and verdict is not Reachability.PRIVATE
                ):
                    found[each] = None
        hosts = {each.address.value("ip4") for each in seen} - {None}
        for each in mapped:
            verdict = verdicts.get(each, Reachability.UNKNOWN)
            plausible = not hosts or each.value("ip4") in hosts
            if verdict is Reachability.PUBLIC or (plausible and verdict is Reachability.UNKNOWN):
                found[each] = None
        return list(found)

    def _candidates(self) -> list[Multiaddr]:
        """What is worth asking about: each address that could be public, the likeliest first."""
        likely = [*self._announcing.configured, *self._mapped()]
        wanted = dict.fromkeys([*likely, *self._host.listening, *self._seen()])
        return [
            each for each in wanted if (self._anywhere or is_public(each)) and not each.has("p2p-circuit")
        ]

    def _verdict_changed(self) -> None:
        state = self.state
        if state is not self._told:
            if self._told is not None:
                log.info("reachability: %s (%s)", state.value, self.source or "nothing is known")
            self._told = state
            self._host.reachability_changed(
                None if state is Reachability.UNKNOWN else state is Reachability.PUBLIC
            )
        self._addresses_changed()

    def _addresses_changed(self) -> None:
        confirmed = frozenset(self._confirmed())
        if confirmed != self._told_confirmed:
            self._told_confirmed = confirmed
            self._host.addresses_changed()
            self.asking.hurry()


def _voter(connection: Connection) -> Hashable:
    """A name of its own for each connection, which does not keep it alive."""
    return connection.peer, connection.opened_at


def _report(address: Multiaddr, checked: AddressState | None, observers: int, source: str) -> AddressReport:
    if checked is not None and checked.state is not Reachability.UNKNOWN:
        return AddressReport(address, checked.state, "autonat-v2", checked.confidence, observers)
    source = source or ("observed" if observers else "listening")
    return AddressReport(
        address, Reachability.UNKNOWN, source, min(observers, 3) if observers else 0, observers
    )
