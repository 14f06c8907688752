"""Tells when this machine's addresses change: a cable, a wireless network, a VPN.

On Linux the kernel says so at once; everywhere the addresses are looked at again every 15 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

import ifaddr

log = logging.getLogger(__name__)

LOOK_S: Final = 15.0
SETTLE_S: Final = 0.25
"""A change comes as several messages; what they add up to is looked at this much later."""
_LINK, _IPV4_ADDRESS, _IPV6_ADDRESS = 0x1, 0x10, 0x100
_MESSAGE_BYTES: Final = 65536

Addresses = frozenset[tuple[str, str]]


class InterfaceWatch:
    """Calls every one of ``observers`` after each change, on the loop that `run` runs in."""

    def __init__(self) -> None:
        self.observers: list[Callable[[], None]] = []
        self.changes = 0
        self._awake = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            kernel = _kernel_messages()
            if kernel is not None:
                stack.callback(kernel.close)
                loop.add_reader(kernel, self._drain, kernel)
                stack.callback(loop.remove_reader, kernel)
            known = current_addresses()
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._awake.wait()
                    await asyncio.sleep(SETTLE_S)
                self._awake.clear()
                found = current_addresses()
                if found != known:
                    log.info("addresses of this machine changed: %s", _difference(known, found))
                    known = found
                    self.changes += 1
                    for tell in self.observers:
                        tell()

    def _drain(self, kernel: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while kernel.recv(_MESSAGE_BYTES):
                pass
        self._awake.set()


def current_addresses() -> Addresses:
    """Interface and address of everything this machine has now."""
    return frozenset(
        (adapter.name, each.ip if isinstance(each.ip, str) else each.ip[0])
        for adapter in ifaddr.get_adapters()
        for each in adapter.ips
    )


def _kernel_messages() -> socket.socket | None:
    """A socket that the kernel writes to when links or addresses change; None where there is no such thing."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        kernel = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:
        return None
    try:
        kernel.bind((0, _LINK | _IPV4_ADDRESS | _IPV6_ADDRESS))
    except OSError:
        kernel.close()
        return None
    return kernel


def _difference(before: Addresses, after: Addresses) -> str:
    gone = [f"-{address} ({name})" for name, address in sorted(before - after)]
    come = [f"+{address} ({name})" for name, address in sorted(after - before)]
    return ", ".join([*come, *gone])
