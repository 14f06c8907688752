"""Daemons of Debian in a laboratory: miniupnpd in a router, coturn in its public server: inside namespaces alone."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.lab import Lab, namespaces
from mesh.lab.abilities import is_required
from mesh.lab.topology import PUBLIC, PUBLIC_IPS
from tools.lab_daemons import COTURN, MINIUPNPD, Daemon, DaemonMissing, command_of

START_S = 10.0
_RULE = re.compile(r"@nh,72,8 (0x\w+) th dport (\d+) dnat")
_TRANSPORTS = {"0x6": "tcp", "0x11": "udp"}
CHAINS = """
table inet filter {
 chain forward {
  type filter hook forward priority 0; policy accept;
  jump miniupnpd
 }
 chain miniupnpd {
 }
 chain prerouting {
  type nat hook prerouting priority -100;
  jump prerouting_miniupnpd
 }
 chain prerouting_miniupnpd {
 }
 chain postrouting {
  type nat hook postrouting priority 99;
  jump postrouting_miniupnpd
 }
 chain postrouting_miniupnpd {
 }
}
"""
"""What miniupnpd writes its rules into; its own scripts would make these."""
SETTINGS = """
ext_ifname=wan
listening_ip=lan
http_port=5000
enable_natpmp={datagrams}
enable_upnp={upnp}
secure_mode=yes
ipv6_disable=yes
min_lifetime=2
max_lifetime=86400
lease_file={folder}/leases
uuid=12345678-1111-2222-3333-000000000004
allow 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def command_or_skip(daemon: Daemon) -> list[str]:
    """How the daemon is started; where it cannot be had the test is skipped, or fails if laboratories are required."""
    try:
        return command_of(daemon)
    except DaemonMissing as reason:
        if is_required():
            pytest.fail(str(reason))
        pytest.skip(f"NOTHING WAS TESTED AGAINST {daemon.name.upper()}: {reason}")


@contextlib.contextmanager
def router(
    lab: Lab,
    folder: Path,
    place: str = "natA",
    *,
    upnp: bool = True,
    datagrams: bool = True,
    outer_ip: str = "",
) -> Iterator[subprocess.Popen[bytes]]:
    """miniupnpd in a router, which knows of no mapping at first. ``datagrams``: NAT-PMP and PCP; ``outer_ip``: what it
    claims to have for an address."""
    command = command_or_skip(MINIUPNPD)
    settings = SETTINGS.format(
        datagrams="yes" if datagrams else "no", upnp="yes" if upnp else "no", folder=folder
    )
    if outer_ip:
        settings += f"ext_ip={outer_ip}\n"
    (folder / "miniupnpd.conf").write_text(settings)
    (folder / "leases").unlink(missing_ok=True)
    namespaces.run(
        *lab.command(place, "nft", "-f", "-"), text=f"table inet filter\ndelete table inet filter\n{CHAINS}"
    )
    words = [*command, "-d", "-f", str(folder / "miniupnpd.conf"), "-P", str(folder / "miniupnpd.pid")]
    ready = ["HTTP listening on"] * upnp + ["Listening for NAT-PMP/PCP"] * datagrams
    with _running(lab.command(place, *words), folder / "miniupnpd.log", ready) as process:
        yield process


@contextlib.contextmanager
def stun_server(lab: Lab, folder: Path) -> Iterator[None]:
    """coturn at both addresses of the public server, as a STUN server alone; ports 3478 and 3479."""
    addresses = [word for each in PUBLIC_IPS for word in ("-L", each)]
    words = [*command_or_skip(COTURN), "-n", "--stun-only", *addresses]
    words += ["-p", "3478", "--alt-listening-port", "3479", "--no-cli", "--no-tls", "--no-dtls"]
    words += ["--log-file", "stdout", "--simple-log"]
    words += ["--pidfile", str(folder / "coturn.pid"), "--userdb", str(folder / "coturn.db")]
    with _running(lab.command(PUBLIC, *words), folder / "coturn.log", ["SQLite DB connection success"]):
        yield


def mapped(lab: Lab, place: str = "natA") -> list[str]:
    """The mappings that stand in a router: `tcp 4001`, `udp 4001`."""
    listed = lab.run(place, "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
    return sorted(f"{_TRANSPORTS[kind]} {port}" for kind, port in _RULE.findall(listed))


@contextlib.contextmanager
def _running(command: list[str], said: Path, ready: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + START_S
        while not all(each in said.read_text(errors="replace") for each in ready):
            assert process.poll() is None, said.read_text(errors="replace")
            assert time.monotonic() < limit, said.read_text(errors="replace")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()
