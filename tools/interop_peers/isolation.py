"""A network of one's own: nothing but loopback, and no way out of it.

`isolated` moves the calling thread into a new network namespace, so that every socket it opens and every process it
starts is in there. Run as a program, `python -m tools.interop_peers.isolation COMMAND...` starts a command only if it
is in such a place.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator

OWN_NAMESPACE = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCBRADDBR = 0x89A0
_IFF_UP = 1
_NAME_AND_FLAGS = struct.Struct("16sh14x")
_NAME_AND_ADDRESS = struct.Struct("16sHH4s8x")


class IsolationImpossible(Exception):  # noqa: N818 - a condition of the machine, not a fault
    """This machine or user may not make network namespaces; the message says why."""


@contextlib.contextmanager
def isolated(*addresses: str) -> Iterator[None]:
    """Within the block, this thread's new sockets and processes see 127.0.0.1 and ``addresses`` (IPv4), all its own.

    Sockets that were open before stay where they were. Threads that exist already are not moved. Raises
    `IsolationImpossible`: it takes Linux and its administrator's rights, which `unshare --user --map-root-user` also
    gives to anybody where that is allowed.
    """
    try:
        before = os.open(OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise IsolationImpossible(f"no network namespaces here: {error}") from error
    try:
        _system_call("unshare", _CLONE_NEWNET)
        try:
            _raise_loopback(addresses)
            yield
        finally:
            _system_call("setns", before, _CLONE_NEWNET)
    finally:
        os.close(before)


def add_address(name: str, address: str) -> None:
    """Give an interface of this thread's network, or an alias of one (`lo:1`), an IPv4 address, and raise it."""
    packed = socket.inet_aton(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        fcntl.ioctl(control, _SIOCSIFADDR, _NAME_AND_ADDRESS.pack(name.encode(), socket.AF_INET, 0, packed))
        _raise_interface(control, name.encode())


def add_bridge(name: str, address: str) -> None:
    """A new interface without anything behind it, which carries multicast between the sockets of this network.

    Raises `IsolationImpossible` where the system has no bridges.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        try:
            fcntl.ioctl(control, _SIOCBRADDBR, name.encode() + b"\0")
        except OSError as error:
            raise IsolationImpossible(f"no interface of one's own: {error}") from error
    add_address(name, address)


def way_out() -> str:
    """What this thread's network has besides loopback; empty when it is isolated."""
    return ", ".join(name for _, name in socket.if_nameindex() if name != "lo")


def _system_call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise IsolationImpossible(f"no network namespace of one's own: {name}: {os.strerror(number)}")


def _raise_loopback(addresses: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        _raise_interface(control, b"lo")
    for number, address in enumerate(addresses):
        add_address(f"lo:{number}", address)


def _raise_interface(control: socket.socket, name: bytes) -> None:
    asked = fcntl.ioctl(control, _SIOCGIFFLAGS, _NAME_AND_FLAGS.pack(name, 0))
    flags = _NAME_AND_FLAGS.unpack(asked)[1] | _IFF_UP
    fcntl.ioctl(control, _SIOCSIFFLAGS, _NAME_AND_FLAGS.pack(name, flags))


def main(command: list[str]) -> None:
    """Become ``command``, unless there is a way out of this network."""
    if found := way_out():
        sys.exit(f"not started, for this network has more than loopback: {found}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
