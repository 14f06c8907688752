"""Ports of a router that miniupnpd forwards: by UPnP, NAT-PMP and PCP; renewed, lost, expired, given back, lied about.

One try in every run, of what costs much by one protocol alone; three of each among the long tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest

from mesh.lab import Lab
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY
from tests.lab.daemons import mapped, router, stun_server
from tests.lab.punching import LabPeer, echoes, listening
from tools.interop_peers.process import CommandFailed

pytestmark = [pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(240)]

TRIES = 3
FIRST_OF = [pytest.param(each, marks=[pytest.mark.long] * (each > 1)) for each in range(1, TRIES + 1)]
"""The first try in every run, the others among the long tests."""
PROTOCOLS = ["upnp", "nat-pmp", "pcp"]
BOTH = ["tcp 4001", "udp 4001"]
SHORT_S = 8.0
"""A lease, renewed after four or five seconds of it."""

each_try = pytest.mark.parametrize("number", FIRST_OF)
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def costly(protocol: str) -> pytest.MarkDecorator:
    """One try by this protocol in every run, all else among the long tests."""
    return pytest.mark.parametrize(
        ("protocol", "number"),
        [
            pytest.param(each, number, marks=[pytest.mark.long] * ((each, number) != (protocol, 1)))
            for each in PROTOCOLS
            for number in range(1, TRIES + 1)
        ],
    )


def flags(*more: str) -> list[str]:
    return [*(flag for each in listening("tcp,quic") for flag in ("--listen", each)), *more]


def mapping(protocol: str, lease_s: float = 600.0) -> list[str]:
    return flags("--map", protocol, "--lease", str(lease_s))


async def held(peer: LabPeer) -> dict[str, str]:
    """The outside addresses of both ports, by transport."""
    state = await peer.until(lambda found: len(found["mapping"]["outside"]) == 2, "both mappings", 20.0)
    outside: dict[str, str] = state["mapping"]["outside"]
    return outside


async def until_mapped(lab: Lab, ports: list[str], within_s: float = 10.0) -> None:
    limit = time.monotonic() + within_s
    while (found := mapped(lab)) != ports:
        assert time.monotonic() < limit, found
        await asyncio.sleep(0.1)


def dialable(outside: dict[str, str], peer: LabPeer) -> list[str]:
    tcp, udp = (outside[each].split(":") for each in ("tcp", "udp"))
    return [
        f"/ip4/{tcp[0]}/tcp/{tcp[1]}/p2p/{peer.peer}",
        f"/ip4/{udp[0]}/udp/{udp[1]}/quic-v1/p2p/{peer.peer}",
    ]


@pytest.mark.nat_set(8)
@each_try
@each_protocol
async def test_a_mapped_node_is_dialled_and_leaves_nothing_behind(
    protocol: str, number: int, tmp_path: Path
) -> None:
    with Lab("b") as lab, router(lab, tmp_path):
        async with (
            LabPeer(lab, RELAY, "ours", *flags()) as one,
            LabPeer(lab, PUBLIC, "ours", *flags()) as other,
        ):
            async with LabPeer(lab, "homeA", "ours", *mapping(protocol)) as home:
                outside = await held(home)
                assert {each.split(":")[0] for each in outside.values()} == {"11.3.1.2"}
                assert mapped(lab) == BOTH
                state = await home.call("state")
                assert state["mapping"]["protocol"] == protocol
                told = dialable(outside, home)
                assert {each.rpartition("/p2p/")[0] for each in told} <= set(state["announced"])
                for stranger, address in zip((one, other), told, strict=True):
                    await stranger.call("connect", addr=address)
                    assert await echoes(stranger, home)
            assert mapped(lab) == []


async def test_without_a_mapping_nobody_gets_in(tmp_path: Path) -> None:
    with Lab("b") as lab, router(lab, tmp_path):
        async with (
            LabPeer(lab, RELAY, "ours", *flags()) as stranger,
            LabPeer(lab, "homeA", "ours", *flags()) as home,
        ):
            for address in dialable({"tcp": "11.3.1.2:4001", "udp": "11.3.1.2:4001"}, home)[:1]:
                with pytest.raises(CommandFailed, match="connect"):
                    await stranger.call("connect", addr=address)
            assert mapped(lab) == []


@each_try
async def test_auto_finds_what_the_router_speaks(number: int, tmp_path: Path) -> None:
    for upnp, expected in ((True, "upnp"), (False, "pcp")):
        with Lab("b") as lab, router(lab, tmp_path, upnp=upnp, datagrams=not upnp):
            async with LabPeer(lab, "homeA", "ours", *mapping("auto")) as home:
                await held(home)
                assert (await home.call("state"))["mapping"]["protocol"] == expected


@costly("upnp")
async def test_a_dial_back_confirms_the_mapping(protocol: str, number: int, tmp_path: Path) -> None:
    with Lab("b", "o") as lab, router(lab, tmp_path):
        async with contextlib.AsyncExitStack() as stack:
            places = {RELAY: "11.1.1.2", PUBLIC: PUBLIC_IPS[0], "homeB": "11.4.1.2"}
            servers = {
                await stack.enter_async_context(LabPeer(lab, place, "ours", *flags("--autonat-serve"))): ip
                for place, ip in places.items()
            }
            home = await stack.enter_async_context(LabPeer(lab, "homeA", "ours", *mapping(protocol)))
            await held(home)
            for server, ip in servers.items():
                await home.call("connect", addr=f"/ip4/{ip}/tcp/4001/p2p/{server.peer}")
            await home.until(lambda state: state["reachability"] == "public", "the verdict", 30.0)


@pytest.mark.nat_set(8)
@costly("pcp")
async def test_a_lease_is_renewed_and_runs_out_when_its_node_is_killed(
    protocol: str, number: int, tmp_path: Path
) -> None:
    """The router may take a mapping out for a moment to renew it; the node has to hold both all the time."""
    with Lab("b") as lab, router(lab, tmp_path):
        async with LabPeer(lab, "homeA", "ours", *mapping(protocol, SHORT_S)) as home:
            first = await held(home)
            limit = time.monotonic() + 1.5 * SHORT_S
            while time.monotonic() < limit:
                assert (await home.call("state"))["mapping"]["outside"] == first
            await until_mapped(lab, BOTH)
            await home.kill()
            await until_mapped(lab, [], 3 * SHORT_S)


@costly("nat-pmp")
async def test_a_router_that_starts_anew_is_asked_again(protocol: str, number: int, tmp_path: Path) -> None:
    with Lab("b") as lab:
        async with contextlib.AsyncExitStack() as stack:
            with router(lab, tmp_path):
                home = await stack.enter_async_context(
                    LabPeer(lab, "homeA", "ours", *mapping(protocol, 12.0))
                )
                await held(home)
            with router(lab, tmp_path):
                await until_mapped(lab, BOTH, 40.0)
                await held(home)


@each_try
@pytest.mark.parametrize("protocol", ["nat-pmp", pytest.param("pcp", marks=pytest.mark.long)])
async def test_another_outside_address_is_announced_by_the_router(
    protocol: str, number: int, tmp_path: Path
) -> None:
    """The lease is far from being renewed: only the router's word tells of it."""
    with Lab("b") as lab, router(lab, tmp_path) as daemon:
        async with LabPeer(lab, "homeA", "ours", *mapping(protocol)) as home:
            await held(home)
            lab.run("natA", "ip", "address", "add", "11.3.1.9/24", "dev", "wan")
            lab.run("natA", "ip", "address", "del", "11.3.1.2/24", "dev", "wan")
            lab.run("natA", "ip", "address", "add", "11.3.1.9/24", "dev", "wan")
            daemon.send_signal(signal.SIGUSR1)
            await home.until(
                lambda state: (
                    {each.split(":")[0] for each in state["mapping"]["outside"].values()} == {"11.3.1.9"}
                ),
                "the new address",
                30.0,
            )


@each_try
@each_protocol
async def test_a_router_behind_another_nat_is_told_apart(protocol: str, number: int, tmp_path: Path) -> None:
    with Lab("bb") as lab, router(lab, tmp_path):
        async with LabPeer(lab, "homeA", "ours", *mapping(protocol)) as home:
            state = await home.until(
                lambda found: found["mapping"]["state"] in ("refused", "private"), "the router's word", 20.0
            )
            assert not [each for each in state["announced"] if "/100.64." in each]


@pytest.mark.nat_set(8)
@costly("pcp")
async def test_a_router_that_lies_about_its_address_is_caught_by_a_dial_back(
    protocol: str, number: int, tmp_path: Path
) -> None:
    """It claims the carrier's address, and all is well as far as it knows; nothing arrives there."""
    with Lab("bb", "o") as lab, router(lab, tmp_path, outer_ip="11.3.1.2"):
        async with contextlib.AsyncExitStack() as stack:
            places = {RELAY: "11.1.1.2", PUBLIC: PUBLIC_IPS[0], "homeB": "11.4.1.2"}
            servers = {
                await stack.enter_async_context(LabPeer(lab, place, "ours", *flags("--autonat-serve"))): ip
                for place, ip in places.items()
            }
            home = await stack.enter_async_context(LabPeer(lab, "homeA", "ours", *mapping(protocol)))
            outside = await held(home)
            assert {each.split(":")[0] for each in outside.values()} == {"11.3.1.2"}
            for server, ip in servers.items():
                await home.call("connect", addr=f"/ip4/{ip}/tcp/4001/p2p/{server.peer}")
            state = await home.until(lambda found: found["reachability"] == "private", "the verdict", 60.0)
            assert not [each for each in state["announced"] if each.startswith("/ip4/11.3.1.2/")]


@each_try
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("b", "restricted"),
        ("c", "symmetric"),
        pytest.param("a", "full cone", marks=pytest.mark.long),
        pytest.param("r", "restricted", marks=pytest.mark.long),
    ],
)
async def test_coturn_tells_what_kind_of_nat_there_is(
    kind: str, expected: str, number: int, tmp_path: Path
) -> None:
    with Lab(kind) as lab, stun_server(lab, tmp_path):
        async with LabPeer(lab, "homeA", "ours", *flags("--stun", f"{PUBLIC_IPS[0]}:3478")) as home:
            state = await home.until(lambda found: found["stun"], "the finding", 30.0)
            assert state["stun"]["ip4"] == expected
