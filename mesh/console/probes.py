"""`mesh ping` and `mesh identify`: ask a peer something.

The running daemon of the data folder asks when there is one; otherwise, and with --direct, a throw-away identity that
listens nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.console.client import Daemon
    from mesh.multiformats.multiaddr import Multiaddr
    from mesh.services.identify import PeerInfo

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDR", help="Such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...")
]

DirectOption = Annotated[bool, typer.Option("--direct", help="Ask with a node of its own, not the daemon.")]


def ping(
    addr: AddressArgument,
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="How many; 0 goes on.")] = 4,
    interval_ms: Annotated[
        float, typer.Option(min=0, help="Time from one ping to the next; 0 is back to back.")
    ] = 1000,
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Measure the round trip to a peer."""
    from mesh.console.running import run_async

    daemon = daemon_for(path, direct)
    target = target_for(addr, daemon)
    times = RoundTrips(json)
    if daemon is not None:
        body = {"target": str(target), "count": count, "interval_ms": interval_ms}
        _ping_through(daemon, body, times)
    else:
        run_async(_ping(probe_config(), target, count or None, interval_ms / 1000, times))
    return 1 if times.lost == times.count else 0


def identify(
    addr: AddressArgument, direct: DirectOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Ask a peer who it is and what it speaks."""
    from mesh.console.running import run_async

    daemon = daemon_for(path, direct)
    target = target_for(addr, daemon)
    if daemon is not None:
        told: Mapping[str, Any] = daemon.ask("POST", "/identify", {"target": str(target)})
    else:
        told = _as_object(run_async(_identify(probe_config(), target)))
    if json:
        say_json(told)
    else:
        _say_info(told)


def daemon_for(path: Path | None, direct: bool) -> Daemon | None:
    """The running daemon that is to ask, None when there is none."""
    from mesh.config import data_folder
    from mesh.console.client import find

    return None if direct else find(data_folder(path))


def target_for(text: str, daemon: Daemon | None) -> Multiaddr:
    """Whom to ask. A daemon knows addresses of peers: to it a peer id will do."""
    from mesh.console.addresses import parse_target
    from mesh.errors import DecodeError, UsageError
    from mesh.identity.peer_id import PeerId
    from mesh.multiformats.multiaddr import Multiaddr

    if daemon is not None and not text.startswith("/"):
        try:
            return Multiaddr.parse(f"/p2p/{PeerId.parse(text)}")
        except DecodeError as error:
            raise UsageError(f"ADDR: {text!r} is neither a multiaddr nor a peer id: {error}") from None
    return parse_target(text)


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


def _ping_through(daemon: Daemon, body: dict[str, Any], times: RoundTrips) -> None:
    begun = False
    try:
        for line in daemon.lines("/ping", body):
            begun = True
            if line["type"] == "ping":
                rtt_us = line["rtt_us"]
                times.add(None if rtt_us is None else rtt_us / 1e6)
            elif not times.as_json:
                say(f"ping {line['peer']}")
    finally:
        if begun:
            times.summarize()


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


def probe_config() -> Config:
    """The user's settings as a probe wants them, and the log set up."""
    from mesh.config import load
    from mesh.telemetry import log

    config = load().config
    log.configure(config.log.level, config.log.format, config.log.levels)
    return quiet(config)


def asking_config(
    path: Path | None, peers: Sequence[str], option: str, nobody: str
) -> tuple[Config, list[Multiaddr]]:
    """For a throw-away node: the settings of a data folder, not yet made `quiet`, with the log set up, and whom to begin
    with: ``peers``, which ``option`` gave, else `network.bootstrap`. Raises `UsageError` with the text ``nobody``."""
    from mesh.config import load
    from mesh.console.addresses import parse_address
    from mesh.errors import UsageError
    from mesh.telemetry import log

    config = load(path).config
    log.configure(config.log.level, config.log.format, config.log.levels)
    addresses = [parse_address(text, option) for text in peers]
    addresses = addresses or [parse_address(text, "network.bootstrap") for text in config.network.bootstrap]
    if not addresses:
        raise UsageError(nobody)
    return config, addresses


def quiet(config: Config) -> Config:
    """The same times and limits, but no data folder, no listener, and nothing that dials, serves or finds."""
    from dataclasses import replace

    return replace(
        config,
        node=replace(config.node, path=None),
        network=replace(config.network, listen=(), bootstrap=(), peering=()),
        kademlia=replace(config.kademlia, mode="off"),
        gossip=replace(config.gossip, enabled=False),
        mdns=replace(config.mdns, enabled=False),
        pex=replace(config.pex, enabled=False),
        rendezvous=replace(config.rendezvous, serve=False),
        relay=replace(config.relay, relays=(), auto=False, serve=False),
        autonat=replace(config.autonat, ask=False, serve=False),
        stun=replace(config.stun, servers=()),
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


def _say_info(told: Mapping[str, Any]) -> None:
    from mesh.telemetry.log import printable

    for name, value in told.items():
        label = name.replace("_", " ")
        if isinstance(value, list):
            say(f"{label}:")
            for element in value:
                say(f"  {printable(element)}")
        elif isinstance(value, bool):
            say(f"{label}: {'yes' if value else 'no'}")
        else:
            say(f"{label}: {printable(str(value)) if value else '-'}")
