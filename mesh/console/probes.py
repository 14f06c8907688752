"""`mesh ping` and `mesh identify`: ask a peer something under a throw-away identity, listening nowhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import JsonOption

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.multiformats.multiaddr import Multiaddr
    from mesh.services.identify import PeerInfo

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDR", help="Such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...")
]


def ping(
    addr: AddressArgument,
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="How many; 0 goes on.")] = 4,
    interval_ms: Annotated[
        float, typer.Option(min=0, help="Time from one ping to the next; 0 is back to back.")
    ] = 1000,
    json: JsonOption = False,
) -> int:
    """Measure the round trip to a peer."""
    from mesh.console.addresses import parse_target
    from mesh.console.running import run_async

    target = parse_target(addr)
    times = RoundTrips(json)
    run_async(_ping(_probe_config(), target, count or None, interval_ms / 1000, times))
    return 1 if times.lost == times.count else 0


def identify(addr: AddressArgument, json: JsonOption = False) -> None:
    """Ask a peer who it is and what it speaks."""
    from mesh.console.addresses import parse_target
    from mesh.console.running import run_async

    info = run_async(_identify(_probe_config(), parse_target(addr)))
    if json:
        say_json(_as_object(info))
    else:
        _say_info(info)


@dataclass(slots=True)
class RoundTrips:
    """The pings so far; prints each as it comes and the summary at the end."""

    as_json: bool
    times_us: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def count(self) -> int:
        return len(self.times_us) + self.lost

    def add(self, time_s: float | None) -> None:
        number = self.count
        time_us = None if time_s is None else round(time_s * 1e6, 1)
        if time_us is None:
            self.lost += 1
        else:
            self.times_us.append(time_us)
        if self.as_json:
            say_json({"type": "ping", "seq": number, "rtt_us": time_us})
        else:
            say(f"seq={number} " + ("lost" if time_us is None else f"time={time_us / 1000:.3f} ms"))

    def summarize(self) -> None:
        median, p99 = percentile(self.times_us, 50), percentile(self.times_us, 99)
        if self.as_json:
            say_json(
                {
                    "type": "summary",
                    "count": self.count,
                    "median_us": median,
                    "p99_us": p99,
                    "lost": self.lost,
                }
            )
            return
        line = f"{self.count} pings, {self.lost} lost"
        if median is not None and p99 is not None:
            line += f", median {median / 1000:.3f} ms, p99 {p99 / 1000:.3f} ms"
        say(line)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The median proper for 50, else the value that ``percent`` of all do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    if percent == 50:
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else round((ordered[middle - 1] + ordered[middle]) / 2, 1)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def _ping(
    config: Config, target: Multiaddr, count: int | None, interval_s: float, times: RoundTrips
) -> None:
    from mesh.node import Node

    async with Node(config) as node:
        connection = await node.connect(target)
        if not times.as_json:
            say(f"ping {connection.peer}")
        try:
            async for time_s in node.ping(connection.peer, count=count, interval_s=interval_s):
                times.add(time_s)
        finally:
            times.summarize()


async def _identify(config: Config, target: Multiaddr) -> PeerInfo:
    from mesh.node import Node

    async with Node(config) as node:
        connection = await node.connect(target)
        return await node.identify(connection.peer)


def _probe_config() -> Config:
    """The user's times and limits, but no data folder, no listener, no bootstrap and no services."""
    from dataclasses import replace

    from mesh.config import load
    from mesh.telemetry import log

    config = load().config
    log.configure(config.log.level, config.log.format, config.log.levels)
    return replace(
        config,
        node=replace(config.node, path=None),
        network=replace(config.network, listen=(), bootstrap=()),
        services=replace(config.services, serve=()),
        api=replace(config.api, listen="off"),
    )


def _as_object(info: PeerInfo) -> dict[str, object]:
    return {
        "peer_id": str(info.peer),
        "protocol_version": info.protocol_version,
        "agent_version": info.agent_version,
        "observed_addr": None if info.observed_addr is None else str(info.observed_addr),
        "listen_addrs": [str(address) for address in info.listen_addrs],
        "protocols": list(info.protocols),
        "signed_record": info.signed_record,
    }


def _say_info(info: PeerInfo) -> None:
    from mesh.telemetry.log import printable

    for name, value in _as_object(info).items():
        label = name.replace("_", " ")
        if isinstance(value, list):
            say(f"{label}:")
            for element in value:
                say(f"  {printable(element)}")
        elif isinstance(value, bool):
            say(f"{label}: {'yes' if value else 'no'}")
        else:
            say(f"{label}: {printable(str(value)) if value else '-'}")
