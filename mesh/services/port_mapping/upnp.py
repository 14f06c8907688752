"""UPnP-IGD with a live router: found by SSDP, described, asked for ports by SOAP.

Only the router of the default route is listened to: answers from elsewhere are counted, and a description or an action
that is somewhere else is never fetched.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Final

from mesh.errors import MeshError
from mesh.protocols.port_mapping import igd, ssdp
from mesh.protocols.port_mapping.igd import Call, Service
from mesh.protocols.port_mapping.leases import Lease, Leases
from mesh.protocols.port_mapping.mapping import Errand, Outcome, Port, Refused, Silent
from mesh.protocols.port_mapping.xml_tree import Element
from mesh.services.port_mapping.gateway import Gateway
from mesh.services.port_mapping.upnp_http import fetch, post
from mesh.services.port_mapping.way import Changed
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

SEARCH_WAITS_S: Final = (0.5, 1.0, 1.5)
"""After each sending of the search; routers answer within a second."""
MAX_LOCATIONS: Final = 4
ADDRESS_FRESH_S: Final = 30.0
CONFLICT_TRIES: Final = 4
FIRST_FREE_PORT: Final = 1024


class UpnpWay:
    """One router. Ports that another host has outside are asked for under others."""

    protocol = igd.NAME

    def __init__(self, gateway: Gateway, lease_s: float, changed: Changed, counters: Counters) -> None:
        self._gateway = gateway
        self._changed = changed
        self._counters = counters
        self._leases = Leases(lease_s, random.random)
        self._awake = asyncio.Event()
        self._service: Service | None = None
        self._host = ""
        self._host_at = 0.0
        self._permanent = False

    @property
    def contact(self) -> bool:
        return self._service is not None

    @property
    def rows(self) -> list[Lease]:
        return self._leases.rows

    def want(self, ports: Iterable[Port]) -> None:
        self._leases.want(ports, time.monotonic())
        self._awake.set()

    async def run(self) -> Refused | Silent:
        self._service = await self._find()
        while self._service is not None:
            await self._work()
            rows = self._leases.rows
            if rows and not any(row.granted or row.refused for row in rows):
                self._service = None
                break
            deadline = self._leases.deadline()
            try:
                async with asyncio.timeout(
                    None if deadline is None else max(0.0, deadline - time.monotonic())
                ):
                    await self._awake.wait()
                self._awake.clear()
            except TimeoutError:
                continue
        return Silent()

    async def give_back(self) -> None:
        self._leases.want((), time.monotonic())
        await self._work()

    def close(self) -> None:
        self._service = None

    # -- finding -----------------------------------------------------------------------------------------------------

    async def _find(self) -> Service | None:
        """The first service that maps ports, as the router describes it."""
        tried: set[str] = set()
        async with aclosing(_Search(self._gateway, self._ignored).locations()) as locations:
            async for location in locations:
                if location in tried or len(tried) == MAX_LOCATIONS:
                    continue
                tried.add(location)
                try:
                    document = await fetch(location, self._gateway.host)
                    return igd.read_description(document, location, self._gateway.host)
                except MeshError as error:
                    self._ignored(error.code)
                    log.info("UPnP: %s: %s", location, error)
        return None

    def _ignored(self, kind: str) -> None:
        self._counters.count(f"port_mapping.ignored:{kind}")

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Everything that is due now."""
        if self._leases.expire(time.monotonic()):
            self._changed()
        while (errand := self._leases.due(time.monotonic())) is not None:
            outcome = await self._do(errand)
            self._counters.count(f"port_mapping.asked:{type(outcome).__name__.lower()}")
            if self._leases.note(errand, outcome, time.monotonic()):
                self._changed()

    async def _do(self, errand: Errand) -> Outcome:
        if errand.lease_s == 0:
            answer = await self._call(igd.unmap_call(errand))
            return answer if not isinstance(answer, Element) else igd.granted(errand, self._host)
        refusal = await self._learn_host()
        if refusal is not None:
            return refusal
        last: Refused | Silent = Silent()
        for _ in range(CONFLICT_TRIES):
            asked = dataclasses.replace(errand, lease_s=0) if self._permanent else errand
            answer = await self._call(igd.map_call(asked, self._gateway.own_ip))
            if isinstance(answer, Element):
                return igd.granted(asked, self._host)
            last = answer
            if isinstance(answer, Silent):
                break
            if answer.code == igd.ONLY_PERMANENT and not self._permanent:
                self._permanent = True
            elif answer.code == igd.CONFLICT:
                free = random.randrange(FIRST_FREE_PORT, 65536)
                errand = dataclasses.replace(errand, external_port=free)
            else:
                break
        return last

    async def _learn_host(self) -> Refused | Silent | None:
        """The router's outside address, asked for when it is not fresh; why it cannot be learnt."""
        now = time.monotonic()
        if self._host and now - self._host_at < ADDRESS_FRESH_S:
            return None
        answer = await self._call(igd.ADDRESS_CALL)
        if not isinstance(answer, Element):
            return answer
        try:
            self._host = igd.read_address(answer)
        except MeshError as error:
            self._ignored(error.code)
            return Refused(0, "the router has no outside address")
        self._host_at = now
        if self._leases.move(self._host):
            self._changed()
        return None

    async def _call(self, call: Call) -> Element | Refused | Silent:
        service = self._service
        if service is None:
            return Silent()
        try:
            answer = await post(
                service.control_url,
                self._gateway.host,
                service.kind,
                call.action,
                igd.write_call(service.kind, call),
            )
            return igd.read_answer(answer, call.action)
        except MeshError as error:
            self._ignored(error.code)
            log.info("UPnP: %s: %s", call.action, error)
            return Silent()


class _Search(asyncio.DatagramProtocol):
    """Asks the group and the router itself; gives the descriptions that the router names."""

    def __init__(self, gateway: Gateway, ignored: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._ignored = ignored
        self._found: asyncio.Queue[str] = asyncio.Queue(MAX_LOCATIONS)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[0] != self._gateway.host:
            self._ignored("stranger")
            return
        try:
            self._found.put_nowait(ssdp.check_url(ssdp.read_location(data), self._gateway.host))
        except (MeshError, asyncio.QueueFull) as error:
            self._ignored(getattr(error, "code", "too many"))

    def error_received(self, exc: Exception) -> None:
        """Nobody there: the silence will tell."""

    async def locations(self) -> AsyncGenerator[str, None]:
        """Until the search is over."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self._gateway.own_ip))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        sock.bind((self._gateway.own_ip, 0))
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        try:
            for wait_s in SEARCH_WAITS_S:
                for target in ssdp.TARGETS:
                    for host in (ssdp.GROUP, self._gateway.host):
                        transport.sendto(ssdp.write_search(target, host), (host, ssdp.PORT))
                limit = time.monotonic() + wait_s
                while (left_s := limit - time.monotonic()) > 0:
                    try:
                        async with asyncio.timeout(left_s):
                            location = await self._found.get()
                    except TimeoutError:
                        break
                    yield location
        finally:
            transport.close()
