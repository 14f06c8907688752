"""Daemons of Debian that tests run: miniupnpd as a router's, coturn as a STUN server, both in the laboratory's
namespaces, and Redis, where programs of shared test plans meet.

Their packages are fetched and unpacked into a folder that git ignores, never installed: nothing is started, configured
or changed outside of that folder. `python -m tools.lab_daemons` does it beforehand.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent / "interop_peers" / "build" / "debian"
FETCH_S: Final = 120.0


class DaemonMissing(Exception):  # noqa: N818 - a reason to skip
    """There is no such daemon here, and why."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program and the packages it is in; libraries that the machine has need not be fetched."""

    name: str
    program: str
    packages: tuple[str, ...]
    libraries: tuple[str, ...] = ()


MINIUPNPD: Final = Daemon(
    "miniupnpd", "usr/sbin/miniupnpd", ("miniupnpd-nftables",), ("libnftnl11", "libmnl0")
)
COTURN: Final = Daemon(
    "coturn",
    "usr/bin/turnserver",
    ("coturn",),
    (
        "libevent-core-2.1-7",
        "libevent-extra-2.1-7",
        "libevent-openssl-2.1-7",
        "libevent-pthreads-2.1-7",
        "libhiredis0.14",
        "libmariadb3",
        "libpq5",
        "libsystemd0",
        "libldap-2.5-0",
        "libsasl2-2",
    ),
)
REDIS: Final = Daemon(
    "redis",
    "usr/bin/redis-server",
    ("redis-server", "redis-tools"),
    ("libatomic1", "libjemalloc2", "liblzf1"),
)


def command_of(daemon: Daemon) -> list[str]:
    """The words that start it, libraries included; fetched and unpacked first where it is not there yet, once
    for all processes. Raises `DaemonMissing`."""
    root = FOLDER / daemon.name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f".{daemon.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / ".ready").exists():
            _unpack(daemon, root)
    triplet = f"{platform.machine()}-linux-gnu"
    libraries = ":".join(str(root / each / triplet) for each in ("usr/lib", "lib"))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(root / daemon.program)]


def _unpack(daemon: Daemon, root: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise DaemonMissing(
                f"{daemon.name}: {tool} is not installed, and it is fetched as a package of Debian"
            )
    shutil.rmtree(root, ignore_errors=True)
    packages = root / "packages"
    packages.mkdir(parents=True)
    for each in (*daemon.packages, *daemon.libraries):
        _run(daemon, packages, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", each)
    for package in sorted(packages.glob("*.deb")):
        _run(daemon, packages, "dpkg", "-x", str(package), str(root))
    shutil.rmtree(packages)
    if not os.access(root / daemon.program, os.X_OK):
        raise DaemonMissing(f"{daemon.name}: its package has no {daemon.program}")
    (root / ".ready").touch()


def _run(daemon: Daemon, folder: Path, *command: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DaemonMissing(f"{daemon.name}: {' '.join(command)} took more than {FETCH_S:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise DaemonMissing(f"{daemon.name}: {' '.join(command)}: {said[-1] if said else done.returncode}")


def main() -> int:
    """The command; returns the exit status."""
    missing = 0
    for daemon in (MINIUPNPD, COTURN, REDIS):
        try:
            print(" ".join(command_of(daemon)))
        except DaemonMissing as reason:
            missing = 1
            print(reason, file=sys.stderr)
    return missing


if __name__ == "__main__":
    sys.exit(main())
