"""The router of this machine: where the default route leads, and with which address of our own."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

ROUTES: Final = Path("/proc/net/route")
_UP: Final = 0x1
_THROUGH_GATEWAY: Final = 0x2
_COLUMNS: Final = 8
_ANY_PORT: Final = 9


@dataclass(frozen=True, slots=True)
class Gateway:
    """A router and the address that this machine has towards it."""

    host: str
    own_ip: str


def find_gateway(configured: str = "") -> Gateway | None:
    """The configured router, else that of the IPv4 default route; None where there is none or, on systems other than
    Linux, where none is configured."""
    host = configured or _default_route()
    own_ip = "" if host is None else _own_address(host)
    return None if host is None or not own_ip else Gateway(host, own_ip)


def _default_route() -> str | None:
    """The gateway of the default route with the least metric."""
    try:
        lines = ROUTES.read_text().splitlines()[1:]
    except OSError:
        return None
    found: list[tuple[int, str]] = []
    for line in lines:
        columns = line.split()
        if len(columns) < _COLUMNS:
            continue
        destination, gateway, flags, mask = (int(columns[each], 16) for each in (1, 2, 3, 7))
        if destination == 0 and mask == 0 and flags & _UP and flags & _THROUGH_GATEWAY:
            found.append((int(columns[6]), str(IPv4Address(struct.pack("=I", gateway)))))
    return min(found)[1] if found else None


def _own_address(host: str) -> str:
    """The address that a packet to ``host`` would leave from; none is sent. Empty when there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, _ANY_PORT))
        except OSError:
            return ""
        name: tuple[str, int] = probe.getsockname()
        return name[0]
