"""A router on an address of the loopback network: NAT-PMP and PCP at port 5351, UPnP at 1900 and over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, cast

from mesh.protocols.port_mapping import igd, ssdp
from mesh.protocols.port_mapping.mapper import ANNOUNCEMENT_PORT, SERVER_PORT
from mesh.protocols.port_mapping.mapping import Port, Transport
from mesh.protocols.port_mapping.xml_tree import read_xml
from tests.protocols.port_mapping.router import Router

Answerer = Callable[[str, str, bytes], bytes | Awaitable[bytes]]
"""Method, path and body to a whole answer of HTTP."""
_NUMBERS = itertools.count(1)


def free_host() -> str:
    """An address of this process alone, on which fixed ports are free."""
    number = next(_NUMBERS)
    return f"127.{1 + os.getpid() % 250}.{os.getpid() // 250 % 250}.{1 + number % 250}"


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def soap(body: str) -> bytes:
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{igd.ENVELOPE}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def fault(code: int, text: str) -> bytes:
    error = f"<UPnPError><errorCode>{code}</errorCode><errorDescription>{text}</errorDescription></UPnPError>"
    return http(soap(f"<s:Fault><detail>{error}</detail></s:Fault>"), "500 Internal Server Error")


class LiveRouter:
    """``datagrams`` and ``upnp``: what it speaks. UPnP's mappings are in `forwarded`: outside port and protocol to inside
    port and lease; `refusals` are codes to answer AddPortMapping with, one after another; `answerer` replaces HTTP."""

    def __init__(self, router: Router | None = None, *, datagrams: bool = True, upnp: bool = False) -> None:
        self.router = router or Router()
        self.host = free_host()
        self.location = ""
        self.forwarded: dict[tuple[str, int], tuple[int, int]] = {}
        self.refusals: list[int] = []
        self.answerer: Answerer = self._answer
        self.asked: list[str] = []
        self.searched: list[bytes] = []
        self._datagrams = datagrams
        self._upnp = upnp
        self._stack = AsyncExitStack()
        self._socket: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._datagrams:
            self._socket, _ = await loop.create_datagram_endpoint(
                lambda: _Ear(self._hear), local_addr=(self.host, SERVER_PORT)
            )
            self._stack.callback(self._socket.close)
        if self._upnp:
            server = await asyncio.start_server(self._serve, self.host, 0)
            self._stack.push_async_callback(server.wait_closed)
            self._stack.callback(server.close)
            self.location = f"http://{self.host}:{server.sockets[0].getsockname()[1]}/root.xml"
            found, _ = await loop.create_datagram_endpoint(
                lambda: _Ear(self._search), local_addr=(self.host, ssdp.PORT)
            )
            self._stack.callback(found.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def held(self) -> set[Port]:
        """What NAT-PMP and PCP hold."""
        return set(self.router.held)

    def announce(self, protocol: str = "pcp") -> None:
        """Tell the link that this router has started."""
        assert self._socket is not None
        raw: socket.socket = self._socket.get_extra_info("socket")
        sent = socket.socket(fileno=os.dup(raw.fileno()))
        sent.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sent.sendto(self.router.announcement(time.monotonic(), protocol), ("224.0.0.1", ANNOUNCEMENT_PORT))
        sent.close()

    # -- within ------------------------------------------------------------------------------------------------------

    def _hear(self, transport: asyncio.DatagramTransport, datagram: bytes, source: tuple[str, int]) -> None:
        answer = self.router.answer(datagram, time.monotonic())
        if answer is not None:
            transport.sendto(answer, source)

    def _search(self, transport: asyncio.DatagramTransport, datagram: bytes, source: tuple[str, int]) -> None:
        self.searched.append(datagram)
        lines = ["HTTP/1.1 200 OK", f"ST: {ssdp.TARGETS[0]}", f"LOCATION: {self.location}", "", ""]
        transport.sendto("\r\n".join(lines).encode(), source)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split("\r\n")[0].split(" ")
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            found = self.answerer(method, path, body)
            writer.write(found if isinstance(found, bytes) else await found)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> bytes:
        if method == "GET":
            self.asked.append(path)
            service = f"<serviceType>{igd.SERVICES[1]}</serviceType><controlURL>/ctl</controlURL>"
            return http(f"<root><device><service>{service}</service></device></root>".encode())
        [action] = next(read_xml(body).all("Body")).children
        self.asked.append(action.name)
        return getattr(self, f"_on_{action.name}", lambda _: fault(401, "Invalid Action"))(
            {each.name: each.text for each in action.children}
        )

    def _on_GetExternalIPAddress(self, _: dict[str, str]) -> bytes:  # noqa: N802 - the action's name
        told = f"<NewExternalIPAddress>{self.router.host}</NewExternalIPAddress>"
        return http(
            soap(f"<u:GetExternalIPAddressResponse xmlns:u='x'>{told}</u:GetExternalIPAddressResponse>")
        )

    def _on_AddPortMapping(self, asked: dict[str, str]) -> bytes:  # noqa: N802
        if self.refusals:
            return fault(self.refusals.pop(0), "no")
        key = (asked["NewProtocol"], int(asked["NewExternalPort"]))
        self.forwarded[key] = (int(asked["NewInternalPort"]), int(asked["NewLeaseDuration"]))
        return http(soap("<u:AddPortMappingResponse xmlns:u='x'/>"))

    def _on_DeletePortMapping(self, asked: dict[str, str]) -> bytes:  # noqa: N802
        if self.forwarded.pop((asked["NewProtocol"], int(asked["NewExternalPort"])), None) is None:
            return fault(igd.NO_SUCH_ENTRY, "NoSuchEntryInArray")
        return http(soap("<u:DeletePortMappingResponse xmlns:u='x'/>"))


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[asyncio.DatagramTransport, bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(self._transport, data, addr)


def tcp(number: int) -> Port:
    return Port(Transport.TCP, number)


def udp(number: int) -> Port:
    return Port(Transport.UDP, number)
