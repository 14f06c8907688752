"""Finding peers on the same link: the machine of `mesh.protocols.mdns` on this machine's interfaces.

Every interface is asked and answered on by itself; each is told only of addresses that it can reach. Off until
`mdns.enabled`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable

from mesh.config import MdnsSection
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.multicast import Interface, MulticastLink, interfaces, why_not
from mesh.protocols.mdns import HeardPeer, LinkCounts, Mdns, PeerHeard, instance_name
from mesh.services.mdns_packets import read_packet, write_packets

log = logging.getLogger(__name__)

DOMAIN = "local"


class MdnsDiscovery:
    """The service. ``addresses`` gives this node's own, ``heard`` is told of every peer that is said to be near."""

    def __init__(
        self,
        settings: MdnsSection,
        local: PeerId,
        addresses: Callable[[], Iterable[Multiaddr]],
        heard: Callable[[PeerHeard], None],
    ) -> None:
        self._settings = settings
        self._addresses = addresses
        self._heard = heard
        self.service = f"{settings.service}.{DOMAIN}".lower()
        name = instance_name(secrets.token_bytes(64))
        self._machine = Mdns(
            self.service, name, local, settings.peers_per_minute, random.SystemRandom().random
        )
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.links: dict[str, MulticastLink] = {}
        self.skipped: dict[str, str] = {}

    @property
    def instance(self) -> str:
        """The name that stands for this node until it ends."""
        return self._machine.instance

    @property
    def peers(self) -> list[HeardPeer]:
        """Who is said to be near, now; times are those of the steady clock."""
        return list(self._machine.peers.values())

    def counts(self, link: str) -> LinkCounts:
        """The figures of an interface that is used."""
        return self._machine.counts(link)

    async def run(self) -> None:
        """Until it is cancelled; then take back what was said and close the sockets."""
        try:
            while True:
                await self._follow_interfaces()
                await self._changed.wait()
                self._changed.clear()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._machine.close()
            self._say()
            for link in self.links.values():
                link.close()
            self.links.clear()

    def look(self) -> None:
        """Interfaces or addresses are others now."""
        self._changed.set()

    async def _follow_interfaces(self) -> None:
        """Open what is new, close what has gone, and say on each where this node is."""
        found = {each.name: each for each in interfaces()}
        self.skipped = {}
        for name, interface in list(found.items()):
            if reason := why_not(interface, self._settings.interfaces):
                self.skipped[name] = reason
                del found[name]
        for name, link in list(self.links.items()):
            if found.get(name) != link.interface:
                link.close()
                del self.links[name]
                self._machine.remove_link(name)
        for name, interface in found.items():
            if name not in self.links:
                link = MulticastLink(interface, lambda data, host, name=name: self._receive(name, data, host))  # type: ignore[misc]
                if not await link.open():
                    self.skipped[name] = "; ".join(link.failures.values()) or "no address"
                    log.warning("mdns on %s: %s", name, self.skipped[name])
                    continue
                self.links[name] = link
            self._machine.set_link(name, self._told(interface), time.monotonic())
        self._go_on()

    def _told(self, interface: Interface) -> list[Multiaddr]:
        """Our addresses that mean something on an interface, its own first."""
        own = {*interface.four, *interface.six}
        skipped = {
            each
            for other in interfaces()
            if other.name in self.skipped and other.name != interface.name
            for each in (*other.four, *other.six)
        }
        usable = [
            address
            for address in self._addresses()
            if _host(address) not in skipped and (interface.is_loopback or not is_loopback(address))
        ]
        return sorted(usable, key=lambda each: _host(each) not in own)

    def _receive(self, name: str, data: bytes, host: str) -> None:
        now = time.monotonic()
        if not self._machine.admit(name, now):
            return
        heard = read_packet(data)
        if heard is None:
            self._machine.counts(name).malformed += 1
            log.debug("mdns on %s: a packet of %d bytes from %s is not DNS", name, len(data), host)
            return
        self._machine.receive(name, heard, now)
        self._go_on()

    def _wake(self) -> None:
        self._machine.wake(time.monotonic())
        self._go_on()

    def _go_on(self) -> None:
        """What the machine wants done, after every call into it."""
        self._say()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.deadline()
        if deadline is not None:
            delay = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)
        for event in self._machine.events():
            self._heard(event)

    def _say(self) -> None:
        for said in self._machine.output():
            link = self.links.get(said.link)
            if link is not None:
                for packet in write_packets(said, self.service):
                    link.send(packet)


def _host(address: Multiaddr) -> str:
    return address.value("ip4") or address.value("ip6") or ""
