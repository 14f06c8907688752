"""A node behind a NAT stays reachable: its relay dies, its line is cut, it starts cold. Within ten seconds each time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from mesh.lab import Lab
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP
from tests.lab.punching import LabPeer, echoes, listening

pytestmark = pytest.mark.usefixtures("laboratory")

SOON_S = 10.0
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "quic"])


Record = Callable[[str, object], None]


@contextlib.contextmanager
def timed(record_property: Record) -> Iterator[None]:
    """How long the block takes stands in the report that `--junitxml` writes."""
    began = time.monotonic()
    yield
    record_property("seconds", round(time.monotonic() - began, 2))


def on(transport: str) -> list[str]:
    return [flag for each in listening(transport) for flag in ("--listen", each)]


def address(peer: LabPeer, ip: str, transport: str) -> str:
    return f"{listening(transport)[0].replace('0.0.0.0', ip)}/p2p/{peer.peer}"


@contextlib.asynccontextmanager
async def two_relays(lab: Lab, transport: str) -> AsyncIterator[dict[str, tuple[str, LabPeer]]]:
    """By peer id: the place of each relay and what runs there."""
    async with (
        LabPeer(lab, RELAY, "ours", *on(transport), "--relay-serve") as one,
        LabPeer(lab, PUBLIC, "ours", *on(transport), "--relay-serve") as other,
    ):
        yield {one.peer: (RELAY, one), other.peer: (PUBLIC, other)}


def at(relays: dict[str, tuple[str, LabPeer]], transport: str) -> list[str]:
    where = {RELAY: RELAY_IP, PUBLIC: PUBLIC_IPS[0]}
    named = [address(peer, where[place], transport) for place, peer in relays.values()]
    return [flag for each in named for flag in ("--relay", each)]


@TRANSPORTS
@pytest.mark.parametrize("how", ["kill -9", "link down"])
async def test_a_node_whose_relay_dies_holds_another_reservation(
    how: str, transport: str, record_property: Record
) -> None:
    with Lab("b") as lab:
        async with (
            two_relays(lab, transport) as relays,
            LabPeer(lab, "homeA", "ours", *on(transport), *at(relays, transport), "--wanted", "1") as home,
        ):
            state = await home.until(lambda state: state["held"], "the first reservation")
            [first] = state["held"]
            place, relay = relays[first]
            if how == "kill -9":
                await relay.kill()
            else:
                lab.run("inet", "ip", "link", "set", f"to-{place}", "down")
            [second] = set(relays) - {first}
            with timed(record_property):
                await home.until(lambda state: state["held"] == [second], "another reservation", SOON_S)
            spare = relays[second][1]
            assert await echoes(spare, home)


@TRANSPORTS
async def test_a_node_whose_own_line_is_cut_is_back_soon_after_it_is_mended(
    transport: str, record_property: Record
) -> None:
    """Its address goes and comes: nothing waits for the end of a pause or for a dead connection to be given up."""
    with Lab("b") as lab:
        async with (
            two_relays(lab, transport) as relays,
            LabPeer(lab, "homeA", "ours", *on(transport), *at(relays, transport)) as home,
        ):
            await home.until(lambda state: len(state["held"]) == 2, "the reservations")
            lab.run("homeA", "ip", "link", "set", "eth0", "down")
            lab.run("homeA", "ip", "address", "del", "192.168.1.10/24", "dev", "eth0")
            await home.until(lambda state: not state["held"], "the loss", 2 * SOON_S)
            lab.run("homeA", "ip", "address", "add", "192.168.1.11/24", "dev", "eth0")
            lab.run("homeA", "ip", "link", "set", "eth0", "up")
            lab.run("homeA", "ip", "route", "add", "default", "via", "192.168.1.1")
            with timed(record_property):
                await home.until(lambda state: len(state["held"]) == 2, "both reservations again", SOON_S)


@TRANSPORTS
async def test_a_cold_start_joins(transport: str, record_property: Record) -> None:
    """From nothing to a DHT with peers and a reservation, with one address, the interpreter's own start included."""
    with Lab("b") as lab:
        serving = [*on(transport), "--dht", "server"]
        async with (
            LabPeer(lab, RELAY, "ours", *serving, "--relay-serve") as relay,
            LabPeer(lab, PUBLIC, "ours", *serving) as other,
        ):
            where = address(relay, RELAY_IP, transport)
            await other.call("connect", addr=where)
            flags = ["--bootstrap", where, "--relay", where, "--dht", "client"]
            home = LabPeer(lab, "homeA", "ours", *on(transport), *flags)
            async with contextlib.AsyncExitStack() as stack:
                with timed(record_property):
                    async with asyncio.timeout(SOON_S):
                        await stack.enter_async_context(home)
                        await home.until(
                            lambda state: state["held"] and state["table"] == 2,
                            "the reservation and the table",
                        )
