"""`node.reachability.mapping`: the router found, its ports held, all of it told.

Off unless `port_mapping.protocol` says otherwise. Only the router of the default route is spoken to. It is looked for
again every minute, at once when this machine's addresses change, and asked again after five minutes of silence.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from mesh.config import PortMappingSection
from mesh.multiformats.ip_ranges import is_loopback, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.scope import Scope
from mesh.protocols.port_mapping.leases import Lease
from mesh.protocols.port_mapping.mapping import Port, Refused, Silent, Transport
from mesh.services.port_mapping.gateway import Gateway, find_gateway
from mesh.services.port_mapping.way import Way
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

LOOK_S: Final = 60.0
AGAIN_S: Final = 300.0
GIVE_BACK_S: Final = 2.0
OFF: Final = "off"
AUTO: Final = "auto"
BY_DATAGRAMS: Final = ("pcp", "nat-pmp")
BY_UPNP: Final = "upnp"
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class MappedPort:
    """A port that this node listens on: the outside ``host`` and ``external_port`` that lead to it, for ``left_s`` more
    seconds (None: until it is given back); or ``host`` None and why not."""

    port: Port
    host: str | None = None
    external_port: int = 0
    left_s: float | None = None
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """``state`` is `off`, `searching`, `mapped`, `refused`, `silent`, `no router`, `not needed` (this machine has a
    public address) or `private` (the router's own address is not public: another NAT stands behind it). ``protocol``
    is empty until one is spoken."""

    state: str
    protocol: str
    gateway: str
    ports: list[MappedPort]


class PortMapping:
    """``listening`` gives the addresses of the node's listeners, ``changed`` is called when outside addresses have
    changed. ``secret`` is the node's own: the numbers that PCP knows a mapping by are made from it, so that a node that
    was killed finds its mappings again. ``anywhere`` takes private outside addresses for public ones, for closed
    networks."""

    def __init__(
        self,
        settings: PortMappingSection,
        listening: Callable[[], Iterable[Multiaddr]],
        changed: Callable[[], None],
        secret: bytes,
        counters: Counters,
        *,
        anywhere: bool,
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._changed = changed
        self._secret = secret
        self._counters = counters
        self._anywhere = anywhere
        self._scope: Scope | None = None
        self._way: Way | None = None
        self._gateway: Gateway | None = None
        self._last: Refused | Silent | None = None
        self._awake = asyncio.Event()

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Look for the router, if the settings want it."""
        if self._settings.protocol == OFF:
            return
        self._scope = Scope("port mapping", scope)
        self._scope.spawn(self._run(), "port mapping")

    async def stop(self) -> None:
        """Give every port back; a router that does not answer is waited for 2 s."""
        if self._scope is None:
            return
        await self._scope.close()
        self._scope = None
        way = self._way
        if way is not None and way.contact:
            try:
                async with asyncio.timeout(GIVE_BACK_S):
                    await way.give_back()
            except TimeoutError:
                log.info("port mapping: the router did not say that it takes the ports back")
        self._leave()

    def network_changed(self) -> None:
        """This machine's addresses are others now: perhaps the router, too."""
        self._awake.set()

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def mapped(self) -> list[MappedPort]:
        """The ports that are held now."""
        return [each for each in self._ports() if each.host is not None]

    @property
    def status(self) -> MappingStatus:
        """All that is known."""
        gateway = "" if self._gateway is None else self._gateway.host
        spoken = self._way.protocol if self._way is not None and self._way.contact else ""
        return MappingStatus(self._state(), spoken, gateway, list(self._ports()))

    def outside(self, listening: Iterable[Multiaddr]) -> list[Multiaddr]:
        """The mapped addresses in the form of each listener: `/ip4/…/udp/…/quic-v1` and its like; those that are public
        alone, unless private ones count."""
        mapped = self.mapped
        if not mapped:
            return []
        found: dict[Multiaddr, None] = {}
        for address in listening:
            port = self._port_of(address)
            for each in mapped:
                if port == each.port and self._covers(address):
                    front = f"/ip4/{each.host}/{port.transport}/{each.external_port}"
                    found[Multiaddr.parse("/".join([front, *str(address).split("/")[5:]]))] = None
        return [each for each in found if self._anywhere or is_public(each)]

    # -- within ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """For ever: one worker for each router that there is."""
        scope = self._scope
        assert scope is not None
        while True:
            self._gateway = gateway = find_gateway(self._settings.gateway)
            work = None
            if gateway is not None and self._needed(gateway):
                work = scope.spawn(self._serve(gateway), f"port mapping at {gateway.host}")
            while find_gateway(self._settings.gateway) == gateway:
                await self._rest(LOOK_S)
            if work is not None:
                work.cancel()
                await asyncio.wait([work])
            self._leave()

    async def _serve(self, gateway: Gateway) -> None:
        """Ask in one protocol after another, again and again."""
        while True:
            for way in self._ways(gateway):
                self._way = way
                way.want(self._wanted())
                try:
                    self._last = await way.run()
                except OSError as error:
                    log.info("port mapping: no socket towards %s: %s", gateway.host, error)
                    self._last = Silent()
                log.info("port mapping: %s does not speak %s", gateway.host, way.protocol)
                self._leave()
            await asyncio.sleep(AGAIN_S)

    def _ways(self, gateway: Gateway) -> Iterator[Way]:
        from mesh.services.port_mapping.datagrams import DatagramWay  # only nodes that map ports pay for it
        from mesh.services.port_mapping.upnp import UpnpWay

        wanted = self._settings.protocol
        protocols = [each for each in BY_DATAGRAMS if wanted in (AUTO, each)]
        if protocols:
            yield DatagramWay(
                protocols, gateway, self._settings.lease_s, self._nonce, self._changed, self._counters
            )
        if wanted in (AUTO, BY_UPNP):
            yield UpnpWay(gateway, self._settings.lease_s, self._changed, self._counters)

    def _leave(self) -> None:
        """Nothing is held any more, as far as we know."""
        way, self._way = self._way, None
        if way is not None:
            way.close()
            self._changed()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            return
        self._awake.clear()

    def _wanted(self) -> list[Port]:
        """The ports of listeners that a router can forward to."""
        ports = [self._port_of(each) for each in self._listening() if self._covers(each)]
        return [each for each in dict.fromkeys(ports) if each is not None]

    def _port_of(self, address: Multiaddr) -> Port | None:
        """Transport and port of an IPv4 listener that others could reach, None for any other."""
        parts = address.components
        if len(parts) < 2 or parts[0].name != "ip4" or parts[1].name not in ("tcp", "udp"):
            return None
        if address.has("p2p-circuit") or (is_loopback(address) and not self._anywhere):
            return None
        return Port(Transport(parts[1].name), int(parts[1].text))

    def _covers(self, address: Multiaddr) -> bool:
        """Whether what the router forwards to us arrives at this listener."""
        own_ip = "" if self._gateway is None else self._gateway.own_ip
        return address.value("ip4") in ("0.0.0.0", own_ip)

    def _needed(self, gateway: Gateway) -> bool:
        return self._anywhere or not _is_public(gateway.own_ip)

    def _nonce(self, port: Port) -> bytes:
        about = f"pcp {port.transport} {port.number}".encode()
        return hmac.digest(self._secret, about, hashlib.sha256)[:_NONCE_BYTES]

    def _ports(self) -> Iterator[MappedPort]:
        now = time.monotonic()
        for row in self._way.rows if self._way is not None else ():
            yield _shown(row, now)

    def _state(self) -> str:
        if self._settings.protocol == OFF:
            return OFF
        if self._gateway is None:
            return "no router"
        if not self._needed(self._gateway):
            return "not needed"
        held = self.mapped
        if held:
            seen = all(_is_public(str(each.host)) for each in held)
            return "mapped" if seen or self._anywhere else "private"
        if any(each.code or each.reason for each in self._ports()):
            return "refused"
        if self._way is not None or self._last is None:
            return "searching"
        return "silent" if isinstance(self._last, Silent) else "refused"


def _shown(row: Lease, now: float) -> MappedPort:
    if row.granted is not None:
        left_s = None if row.ends_at == float("inf") else max(0.0, row.ends_at - now)
        return MappedPort(row.port, row.granted.host, row.granted.external_port, left_s)
    if row.refused is not None:
        return MappedPort(row.port, code=row.refused.code, reason=row.refused.reason)
    return MappedPort(row.port)


def _is_public(host: str) -> bool:
    return is_public(Multiaddr.parse(f"/ip4/{IPv4Address(host)}"))
