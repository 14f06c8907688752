"""NAT-PMP and PCP over a live socket: the machine's datagrams out and in, its clock, and the group of announcements."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mesh.protocols.port_mapping.leases import Lease
from mesh.protocols.port_mapping.mapper import ANNOUNCEMENT_PORT, SERVER_PORT, GaveUp, Mapper, OutsideChanged
from mesh.protocols.port_mapping.mapping import Port, Refused, Silent
from mesh.services.port_mapping.gateway import Gateway
from mesh.services.port_mapping.way import Changed
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

GROUP: Final = "224.0.0.1"


class DatagramWay:
    """One router, by the protocols given in order, from a socket on the address towards it."""

    def __init__(
        self,
        protocols: Sequence[str],
        gateway: Gateway,
        lease_s: float,
        nonce: Callable[[Port], bytes],
        changed: Changed,
        counters: Counters,
    ) -> None:
        self._gateway = gateway
        self._mapper = Mapper(protocols, gateway.host, gateway.own_ip, lease_s, nonce, random.random)
        self._changed = changed
        self._counters = counters
        self._counted: Counter[str] = Counter()
        self._awake = asyncio.Event()
        self._transports: list[asyncio.DatagramTransport] = []
        self._last: Refused | Silent = Silent()

    @property
    def protocol(self) -> str:
        return self._mapper.protocol

    @property
    def contact(self) -> bool:
        return self._mapper.contact

    @property
    def rows(self) -> list[Lease]:
        return self._mapper.rows

    def want(self, ports: Iterable[Port]) -> None:
        self._mapper.want(ports, time.monotonic())
        self._awake.set()

    async def run(self) -> Refused | Silent:
        await self._open()
        while not self._mapper.failed:
            await self._turn()
        return self._last

    async def give_back(self) -> None:
        self._mapper.close(time.monotonic())
        while not (self._mapper.done or self._mapper.failed):
            await self._turn()

    def close(self) -> None:
        for each in self._transports:
            each.close()
        self._transports.clear()

    # -- within ------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        main, _ = await loop.create_datagram_endpoint(
            lambda: _Ear(self._receive), local_addr=(self._gateway.own_ip, 0)
        )
        self._transports.append(main)
        try:
            group = _group_socket(self._gateway.own_ip)
        except OSError as error:
            log.debug("announcements of the router cannot be heard: %s", error)
            return
        ear, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._announced), sock=group)
        self._transports.append(ear)

    async def _turn(self) -> None:
        """Send what is due, then wait for an answer or the next deadline."""
        now = time.monotonic()
        while (request := self._mapper.output(now)) is not None:
            self._transports[0].sendto(request, (self._gateway.host, SERVER_PORT))
        self._settle()
        deadline = self._mapper.deadline()
        if self._mapper.failed:
            return
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                await self._awake.wait()
        except TimeoutError:
            return
        self._awake.clear()

    def _receive(self, datagram: bytes, source: tuple[str, int]) -> None:
        self._mapper.receive(datagram, source, time.monotonic())
        self._settle()
        self._awake.set()

    def _announced(self, datagram: bytes, source: tuple[str, int]) -> None:
        self._mapper.announced(datagram, source, time.monotonic())
        self._settle()
        self._awake.set()

    def _settle(self) -> None:
        """Pass on what the machine has to say."""
        for kind, number in self._mapper.ignored.items():
            for _ in range(number - self._counted[kind]):
                self._counters.count(f"port_mapping.ignored:{kind}")
        self._counted = Counter(self._mapper.ignored)
        for event in self._mapper.events():
            if isinstance(event, OutsideChanged):
                self._changed()
            elif isinstance(event, GaveUp):
                self._last = event.outcome


class _Ear(asyncio.DatagramProtocol):
    """Passes on what comes to a socket."""

    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """What the system refuses to send is lost: the silence will tell."""


def _group_socket(own_ip: str) -> socket.socket:
    """Hears what routers tell all hosts of the link, beside other programs that do. Raises `OSError`."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        ear.setblocking(False)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ear.bind((GROUP if hasattr(socket, "AF_NETLINK") else "", ANNOUNCEMENT_PORT))
        membership = socket.inet_aton(GROUP) + socket.inet_aton(own_ip)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:
        ear.close()
        raise
    return ear
