"""Two peers behind NATs and a relay, each ours or Go's: what a hole punch comes to."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mesh.lab.topology import RELAY, RELAY_IP, RELAY_IP6
from mesh.protocols.dcutr import PROTOCOL
from tools.interop_peers.building import BINARY
from tools.interop_peers.process import Answer, PeerProcess

LIFETIME_S = 110
LISTEN = {
    "tcp": ("/ip4/{ip4}/tcp/4001", "/ip6/{ip6}/tcp/4001"),
    "quic": ("/ip4/{ip4}/udp/4001/quic-v1", "/ip6/{ip6}/udp/4001/quic-v1"),
}
POLL_S = 0.02


class Places(Protocol):
    """A laboratory, as far as peers in it are concerned."""

    def command(self, place: str, *command: str) -> list[str]: ...


def listening(transports: str, version: str = "4", port: int = 4001) -> list[str]:
    """Addresses on all interfaces at one port; ``version`` is `4`, `6` or `46`."""
    found = []
    for each in transports.split(","):
        four, six = LISTEN[each]
        found += [four.format(ip4="0.0.0.0")] * ("4" in version) + [six.format(ip6="::")] * ("6" in version)
    return [each.replace("4001", str(port)) for each in found]


class LabPeer(PeerProcess):
    """A node in a place of a laboratory; ``maker`` is `ours` or `go`."""

    def __init__(self, lab: Places, place: str, maker: str, *flags: str) -> None:
        self.maker = maker
        command = (
            (str(BINARY), "serve", "--timeout", f"{LIFETIME_S}s", "--unlimited")
            if maker == "go"
            else (sys.executable, "-m", "tests.lab.peer")
        )
        super().__init__(*lab.command(place, *command, *flags))

    async def until(self, condition: Callable[[Answer], object], what: str, within_s: float = 10.0) -> Answer:
        """The first state (of ours) for which ``condition`` holds."""
        state: Answer = {}
        try:
            async with asyncio.timeout(within_s):
                while not condition(state := await self.call("state")):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"{what} did not come true within {within_s:g} s: {state}") from None
        return state

    async def direct(self, peer: str, within_s: float) -> str | None:
        """The address of the first direct connection with a peer; None when there is none in time."""
        with contextlib.suppress(TimeoutError):
            event = await self.event(
                "connected",
                lambda each: each["peer"] == peer and "p2p-circuit" not in each["addr"],
                within_s=within_s,
            )
            return str(event["addr"])
        return None


@dataclass(slots=True)
class Meeting:
    """A dialled B through the relay; ``began`` is the time of that."""

    lab: Places
    relay: LabPeer
    a: LabPeer
    b: LabPeer
    began: float


def flags(maker: str, transports: str, version: str, port: int) -> list[str]:
    """How a peer that may be punched to is started."""
    found = [flag for each in listening(transports, version, port) for flag in ("--listen", each)]
    if maker == "go":
        found += ["--transport", transports, "--relay", "use", "--security", "both"]
    return [*found, "--hole-punching"]


@contextlib.asynccontextmanager
async def meeting(
    lab: Places,
    a: str = "ours",
    b: str = "ours",
    relay: str = "ours",
    transports: str = "tcp",
    versions: tuple[str, str] = ("4", "4"),
    places: tuple[str, str] = ("homeA", "homeB"),
    ports: tuple[int, int] = (4001, 4001),
) -> AsyncIterator[Meeting]:
    """The peers of these makers in two homes; A has dialled B through the relay."""
    serving = [flag for each in listening("tcp,quic", "46") for flag in ("--listen", each)]
    if relay == "go":
        serving += ["--transport", "tcp,quic", "--relay", "serve", "--security", "both"]
    else:
        serving.append("--relay-serve")
    async with LabPeer(lab, RELAY, relay, *serving) as node:
        at = [_relay_address(node, transports, each) for each in versions]
        target_flags = flags(b, transports, versions[1], ports[1]) + (
            ["--relay", at[1]] if b == "ours" else []
        )
        async with (
            LabPeer(lab, places[1], b, *target_flags) as target,
            LabPeer(lab, places[0], a, *flags(a, transports, versions[0], ports[0])) as source,
        ):
            if b == "go":
                await target.call("reserve", addr=at[1])
            else:
                await target.until(lambda state: state["held"], "the reservation")
            await source.call("connect", addr=at[0])
            for each in (source, target):
                await _ready(node, each)
            began = time.monotonic()
            await source.call("connect", addr=f"{at[0]}/p2p-circuit/p2p/{target.peer}")
            yield Meeting(lab, node, source, target, began)


async def _ready(relay: LabPeer, peer: LabPeer) -> None:
    """The peer knows as what it is seen, and the relay has been told that it punches: go says so only then."""
    if peer.maker == "ours":
        await peer.until(lambda state: state["outside"], "an outside address")
    elif relay.maker == "ours":
        await relay.until(
            lambda state: any(each["peer"] == peer.peer and each["punches"] for each in state["connections"]),
            "go's hole punching",
        )
    else:
        await relay.event(
            "identified", lambda each: each["peer"] == peer.peer and PROTOCOL in each["protocols"]
        )


def _relay_address(relay: LabPeer, transports: str, version: str) -> str:
    """Where a home dials the relay: over the first transport the homes have."""
    four, six = LISTEN[transports.split(",")[0]]
    where = four.format(ip4=RELAY_IP) if "4" in version else six.format(ip6=RELAY_IP6)
    return f"{where}/p2p/{relay.peer}"


async def echoes(peer: LabPeer, other: LabPeer) -> bool:
    """Whether a new stream to the other works; True over whatever connection."""
    answer: dict[str, Any] = await peer.call("echo", peer=other.peer, bytes=2000)
    return bool(answer["same"] if peer.maker == "ours" else answer["bytes"] == 2000)
