"""The socket that the control API listens on: a TCP port, or a Unix socket that only its owner can reach."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.errors import AddressInUse, NetworkError, UsageError

UNIX: Final = "unix:"
BACKLOG: Final = 64


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound socket. ``url`` is how to reach it, ``hosts`` what a Host header may name besides loopback."""

    socket: socket.socket
    url: str
    hosts: frozenset[str]
    path: Path | None = None

    def close(self) -> None:
        """Close, and take a Unix socket's file away."""
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()


def bind(listen: str) -> Bound:
    """Bind `HOST:PORT` or `unix:/path`. Raises `AddressInUse`, `NetworkError`, `UsageError`."""
    if listen.startswith(UNIX):
        return _bind_unix(Path(listen.removeprefix(UNIX)))
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise UsageError(f"the API address {listen!r} is neither HOST:PORT nor unix:/path")
    return _bind_tcp(listen, host.strip("[]"), int(port))


def _bind_tcp(listen: str, host: str, port: int) -> Bound:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise NetworkError(f"the API address {listen}: {error.strerror}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        bound_port = listener.getsockname()[1]
    except OSError as error:
        listener.close()
        raise _refused(listen, error) from None
    name = f"[{host}]" if ":" in host else host
    return Bound(listener, f"http://{name}:{bound_port}", frozenset([name.lower()]))


def _bind_unix(path: Path) -> Bound:
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError(f"unix:{path}: this system has no Unix sockets")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refused(f"unix:{path}", error) from None
    finally:
        os.umask(before)
    return Bound(listener, f"unix:{path}", frozenset(), path)


def _remove_stale(path: Path) -> None:
    """A socket file that nobody listens on any more is in the way; anything else stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            return


def _refused(listen: str, error: OSError) -> NetworkError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"the API address {listen} is in use")
    return NetworkError(f"cannot listen for the API on {listen}: {error.strerror or error}")


def is_loopback(listen: str) -> bool:
    """Whether `HOST:PORT` can be reached from this machine alone."""
    host = listen.rpartition(":")[0].strip("[]").lower()
    return host == "localhost" or _is_loopback_address(host)


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
