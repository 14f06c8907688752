"""The laboratory itself: a routed core, a relay and a server with public addresses, and homes behind NATs of any kind.

    relay 11.1.1.2 ------+           +-- natA 11.3.1.2 -- lan -- homeA 192.168.1.10, homeA2 .11
    pub2  11.2.1.2 ------+-- inet ---+-- natB 11.4.1.2 -- lan -- homeB 192.168.1.10   (the same net, on purpose)
          11.22.1.2 -----+           +-- ...

Each site has a /24 of its own, and a /64 where it has IPv6. The addresses are somebody's real ones, for only such count
as public: before the first interface is raised it is shown that nothing leads out (`namespaces.prove_isolated`).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from mesh.errors import UsageError
from mesh.lab import namespaces
from mesh.lab.kinds import Kind, filter_table, kind_named, loss_table, nat_table
from mesh.lab.namespaces import PREFIX, LabError

CORE: Final = "inet"
RELAY: Final = "relay"
PUBLIC: Final = "pub2"
RELAY_IP: Final = "11.1.1.2"
RELAY_IP6: Final = "3fff:0:1::2"
PUBLIC_IPS: Final = ("11.2.1.2", "11.22.1.2")
FIRST_SITE: Final = 3
SITES: Final = "ABCDEFGH"
LINE_S: Final = 10.0
_CALM: Final = """
for each in all default; do
  echo 0 > /proc/sys/net/ipv4/conf/$each/rp_filter
  echo 0 > /proc/sys/net/ipv6/conf/$each/accept_dad
done
for each in iptables ip6tables; do
  test ! -e /proc/sys/net/bridge/bridge-nf-call-$each || echo 0 > /proc/sys/net/bridge/bridge-nf-call-$each
done
"""
"""Bridged packets must not meet the rules twice: hairpin would be lost."""
_FORWARD: Final = """
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One home: the kind of what stands before it, the delay each way between it and the core, and what the core loses of
    its packets each way. ``wan_accept``: its router answers what comes to itself. ``hosts``: how many are behind it."""

    kind: Kind
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_per_mille: int = 0
    wan_accept: bool = False
    hosts: int = 1


@dataclass(frozen=True, slots=True)
class _Link:
    """A veth, or a delay line, between two places: interface and addresses of each."""

    one: str
    device: str
    other: str
    other_device: str
    delay_ms: float = 0.0
    jitter_ms: float = 0.0


class Lab:
    """Built on entering, gone on leaving; ``plans`` are the homes A, B, and so on. Raises `LabError`.

    ``name`` tells it from others of the same process.
    """

    def __init__(self, *plans: SitePlan | Kind | str, name: str = "") -> None:
        if not 1 <= len(plans) <= len(SITES):
            raise UsageError(f"a laboratory has 1 to {len(SITES)} homes")
        self._plans = [each if isinstance(each, SitePlan) else SitePlan(_kind(each)) for each in plans]
        self._prefix = f"{PREFIX}{os.getpid()}-{name}"
        self._places: list[str] = []
        self._links: list[_Link] = []
        self._setup: dict[str, list[str]] = {}
        self._rules: dict[str, str] = {}
        self._routers: set[str] = set()
        self._lines: list[subprocess.Popen[bytes]] = []

    # -- life --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.build()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def build(self) -> None:
        """Make everything; what was made is removed again when something fails."""
        namespaces.sweep()
        self._plan()
        atexit.register(self.remove)
        try:
            for place in self._places:
                namespaces.add(self.namespace(place))
            for link in self._links:
                self._make_link(link)
            namespaces.prove_isolated([self.namespace(each) for each in self._places])
            for place in self._places:
                script = _CALM + (_FORWARD if place in self._routers else "")
                namespaces.run(*namespaces.inside(self.namespace(place), "sh", "-ec", script))
                if place in self._rules:
                    namespaces.load_rules(self.namespace(place), self._rules[place])
            for place in self._places:
                namespaces.batch(self.namespace(place), ["link set lo up", *self._setup.get(place, ())])
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove everything; harmless when it is gone."""
        atexit.unregister(self.remove)
        lines, self._lines = self._lines, []
        for line in lines:
            line.kill()
            line.wait()
            assert line.stdout is not None
            line.stdout.close()
        left = set(namespaces.named_ours())
        for place in self._places:
            if self.namespace(place) in left:
                with contextlib.suppress(LabError):
                    namespaces.remove(self.namespace(place))
        self._places.clear()

    # -- use ---------------------------------------------------------------------------------------------------------

    @property
    def places(self) -> list[str]:
        """All of them: `inet`, `relay`, `pub2`, then for each home its routers and hosts."""
        return list(self._places)

    def namespace(self, place: str) -> str:
        """The namespace of a place."""
        return f"{self._prefix}{place}"

    def command(self, place: str, *command: str) -> list[str]:
        """The command line that runs ``command`` in a place. Raises `UsageError`."""
        if place not in self._places:
            raise UsageError(f"no place is called {place!r}: choose from {', '.join(self._places)}")
        return namespaces.inside(self.namespace(place), *command)

    def run(self, place: str, *command: str) -> str:
        """The output of a command in a place, if it ends well. Raises `LabError`."""
        return namespaces.run(*self.command(place, *command))

    def home_ip(self, site: str) -> str:
        """The address of a home's first host, inside; IPv6 where it has no other."""
        form, number = self._form(site), FIRST_SITE + SITES.index(site)
        return {
            "firewall": f"11.5{number}.1.2",
            "open": f"11.{number}.1.2",
            "v6only": f"3fff:0:{number}::2",
        }.get(form, "192.168.1.10")

    def outer_ip(self, site: str) -> str:
        """The address that others see a home at."""
        plain = self._form(site) in ("nat", "double")
        return f"11.{FIRST_SITE + SITES.index(site)}.1.2" if plain else self.home_ip(site)

    def _form(self, site: str) -> str:
        return self._plans[SITES.index(site)].kind.form

    # -- the plan ----------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        self._places = [CORE]
        self._routers.add(CORE)
        self._public(RELAY, "11.1.1", "3fff:0:1")
        self._public(PUBLIC, "11.2.1", "3fff:0:2")
        self._link(PUBLIC, "eth1", "11.22.1")
        self._rules[CORE] = ""
        for number, (site, plan) in enumerate(zip(SITES, self._plans, strict=False), FIRST_SITE):
            {"nat": self._natted, "double": self._double, "firewall": self._walled}.get(
                plan.kind.form, self._bare
            )(site, number, plan)
            if plan.loss_per_mille:
                self._rules[CORE] += loss_table(f"to-{self._edge(site)}", plan.loss_per_mille)

    def _edge(self, site: str) -> str:
        """The place of a home that the core is linked to."""
        form = self._form(site)
        return {"nat": f"nat{site}", "double": f"cgn{site}", "firewall": f"fw{site}"}.get(form, f"home{site}")

    def _place(self, place: str, *, router: bool = False) -> None:
        self._places.append(place)
        if router:
            self._routers.add(place)

    def _do(self, place: str, *lines: str) -> None:
        self._setup.setdefault(place, []).extend(lines)

    def _address(self, place: str, device: str, *addresses: str) -> None:
        self._do(
            place, *(f"addr add {each} dev {device}{' nodad' if ':' in each else ''}" for each in addresses)
        )
        self._do(place, f"link set {device} up")

    def _public(self, place: str, net: str, net6: str) -> None:
        self._place(place)
        self._link(place, "eth0", net, net6)
        self._do(place, f"route add default via {net}.1", f"route add default via {net6}::1")

    def _link(self, place: str, device: str, net: str, net6: str = "", plan: SitePlan | None = None) -> None:
        """A link between the core and a place, with the first and second address of its networks."""
        towards = f"to-{place}{'' if device in ('eth0', 'wan') else '-' + device}"
        delay, jitter = (plan.delay_ms, plan.jitter_ms) if plan is not None else (0.0, 0.0)
        self._links.append(_Link(CORE, towards, place, device, delay, jitter))
        for end, name, host in ((CORE, towards, 1), (place, device, 2)):
            found = [f"{net}.{host}/24"] if net else []
            self._address(end, name, *found, *([f"{net6}::{host}/64"] if net6 else []))

    def _natted(self, site: str, number: int, plan: SitePlan) -> None:
        router = f"nat{site}"
        self._place(router, router=True)
        self._link(router, "wan", f"11.{number}.1", plan=plan)
        self._do(router, f"route add default via 11.{number}.1.1")
        self._lan(site, plan)
        wan = f"11.{number}.1.2"
        self._rules[router] = filter_table(plan.kind, wan_accept=plan.wan_accept) + nat_table(
            plan.kind, wan, "192.168.1.10"
        )

    def _double(self, site: str, number: int, plan: SitePlan) -> None:
        carrier, router = f"cgn{site}", f"nat{site}"
        outer, inner = kind_named(plan.kind.outer), kind_named("port-restricted")
        self._place(carrier, router=True)
        self._link(carrier, "wan", f"11.{number}.1", plan=plan)
        self._place(router, router=True)
        self._links.append(_Link(carrier, "lan", router, "wan"))
        self._address(carrier, "lan", "100.64.0.1/24")
        self._address(router, "wan", "100.64.0.2/24")
        self._do(carrier, f"route add default via 11.{number}.1.1")
        self._do(router, "route add default via 100.64.0.1")
        self._lan(site, plan)
        filters = filter_table(plan.kind, wan_accept=plan.wan_accept)
        self._rules[carrier] = filters + nat_table(outer, f"11.{number}.1.2", "100.64.0.2")
        self._rules[router] = filters + nat_table(inner, "100.64.0.2", "192.168.1.10")

    def _lan(self, site: str, plan: SitePlan) -> None:
        """A bridge in the router and the hosts on it."""
        router = f"nat{site}"
        self._do(router, "link add lan type bridge")
        self._address(router, "lan", "192.168.1.1/24")
        for host in range(plan.hosts):
            home = f"home{site}{host + 1 if host else ''}"
            self._place(home)
            self._links.append(_Link(router, f"l{host}", home, "eth0"))
            self._do(router, f"link set l{host} master lan", f"link set l{host} up")
            self._address(home, "eth0", f"192.168.1.{10 + host}/24")
            self._do(home, "route add default via 192.168.1.1")

    def _walled(self, site: str, number: int, plan: SitePlan) -> None:
        router, home = f"fw{site}", f"home{site}"
        net, net6 = f"11.5{number}.1", f"3fff:0:5{number}"
        self._place(router, router=True)
        self._link(router, "wan", f"11.{number}.1", f"3fff:0:{number}", plan)
        self._do(
            router, f"route add default via 11.{number}.1.1", f"route add default via 3fff:0:{number}::1"
        )
        self._place(home)
        self._links.append(_Link(router, "lan", home, "eth0"))
        self._address(router, "lan", f"{net}.1/24", f"{net6}::1/64")
        self._address(home, "eth0", f"{net}.2/24", f"{net6}::2/64")
        self._do(home, f"route add default via {net}.1", f"route add default via {net6}::1")
        self._do(CORE, f"route add {net}.0/24 via 11.{number}.1.2")
        self._do(CORE, f"route add {net6}::/64 via 3fff:0:{number}::2")
        self._rules[router] = filter_table(plan.kind, wan_accept=plan.wan_accept)

    def _bare(self, site: str, number: int, plan: SitePlan) -> None:
        """A host on the core itself."""
        home, four = f"home{site}", plan.kind.form == "open"
        self._place(home)
        self._link(home, "eth0", f"11.{number}.1" if four else "", f"3fff:0:{number}", plan)
        if four:
            self._do(home, f"route add default via 11.{number}.1.1")
        self._do(home, f"route add default via 3fff:0:{number}::1")

    # -- links -------------------------------------------------------------------------------------------------------

    def _make_link(self, link: _Link) -> None:
        one, other = self.namespace(link.one), self.namespace(link.other)
        if not link.delay_ms and not link.jitter_ms:
            peer = ("peer", "name", link.other_device, "netns", other)
            namespaces.run("ip", "link", "add", link.device, "netns", one, "type", "veth", *peer)
            return
        ends = (one, link.device, other, link.other_device, str(link.delay_ms), str(link.jitter_ms))
        self._lines.append(_start_line(ends))


def _start_line(ends: Sequence[str]) -> subprocess.Popen[bytes]:
    """A running delay line whose devices are there. Raises `LabError`."""
    command = [sys.executable, "-m", "mesh.lab.delay_line", *ends]
    line = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert line.stdout is not None
    if line.stdout.readline() != b"ready\n":
        line.kill()
        line.wait()
        line.stdout.close()
        raise LabError(f"no delay line between {ends[0]} and {ends[2]}: is there /dev/net/tun?")
    return line


def _kind(kind: Kind | str) -> Kind:
    return kind_named(kind) if isinstance(kind, str) else kind
