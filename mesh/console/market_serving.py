"""`mesh market serve`: a node in the marketplace, with agents of the user's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.setup import FolderOption
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.apps.market.agents import Offer
    from mesh.apps.market.work import Worker
    from mesh.config import Loaded

NameOption = Annotated[str | None, typer.Option("--name", "-n", help="Name of an agent.")]
DescriptionOption = Annotated[str, typer.Option("--description", "-d", help="What it does.")]
PriceOption = Annotated[float, typer.Option("--price", "-r", min=0, help="USDC that a task costs.")]
CapabilityOption = Annotated[
    list[str] | None, typer.Option(metavar="WORD", help="What it can do, once for each.")
]
CommandOption = Annotated[
    str | None, typer.Option(metavar="COMMAND", help="Works: the task on stdin, its output on stdout.")
]
EndpointOption = Annotated[
    str | None, typer.Option(metavar="URL", help='Works: {"input": ...} is posted there.')
]
PythonOption = Annotated[
    str | None, typer.Option(metavar="MODULE:FUNCTION", help="Works: a function of the text.")
]
AgentsOption = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of further agents.")]
ListenOption = Annotated[
    list[str] | None, typer.Option(metavar="ADDR", help="Address to listen on, once for each.")
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", "-p", min=0, max=65535, help="Listen on all interfaces: TCP and QUIC at this port."
    ),
]
PeersOption = Annotated[
    list[str] | None, typer.Option(metavar="ADDR", help="Peer to connect to at start, once for each.")
]
MdnsOption = Annotated[
    bool | None, typer.Option("--mdns/--no-mdns", help="Find peers in the local network. [no]")
]
IntervalOption = Annotated[
    str | None, typer.Option(metavar="SECONDS", help="Time between announcements, 5 at least. [30]")
]
MarketApiOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT|off", help="Address of its API. [127.0.0.1:8424]")
]
ChainOption = Annotated[
    str | None, typer.Option("--rpc-url", metavar="URL", help="JSON-RPC of the chain of payments.")
]
FacilitatorOption = Annotated[
    str | None, typer.Option("--facilitator-url", metavar="URL", help="Who settles payments.")
]
ControlOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT|unix:/PATH|off", help="Address of the control API.")
]
LevelOption = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="debug, info, warning, error or critical.")
]


def serve(
    name: NameOption = None,
    description: DescriptionOption = "",
    price: PriceOption = 0.0,
    capability: CapabilityOption = None,
    command: CommandOption = None,
    url: EndpointOption = None,
    python: PythonOption = None,
    agents: AgentsOption = None,
    listen: ListenOption = None,
    port: PortOption = None,
    bootstrap: PeersOption = None,
    mdns: MdnsOption = None,
    announce_interval: IntervalOption = None,
    market_api: MarketApiOption = None,
    rpc_url: ChainOption = None,
    facilitator_url: FacilitatorOption = None,
    api: ControlOption = None,
    log_level: LevelOption = None,
    path: FolderOption = None,
) -> int:
    """Run a node in the marketplace until SIGINT or SIGTERM, with an agent or several, or none, to buy only."""
    offered = []
    if name is not None:
        offered.append(_agent(name, description, price, capability, command, url, python))
    elif command or url or python:
        raise UsageError("an agent has a --name")
    everywhere = (
        [f"/ip4/0.0.0.0/tcp/{port}", f"/ip4/0.0.0.0/udp/{port}/quic-v1"] if port is not None else None
    )
    flags = {
        "market.enabled": True,
        "market.agents": agents,
        "market.announce_interval_s": announce_interval,
        "market.api": market_api,
        "market.rpc_url": rpc_url,
        "market.facilitator_url": facilitator_url,
        "network.listen": listen or everywhere,
        "network.bootstrap": bootstrap or None,
        "mdns.enabled": mdns,
        "api.listen": api,
        "log.level": log_level,
    }
    return _run(loaded_market(path, flags), offered)


def _agent(
    name: str,
    description: str,
    price: float,
    capabilities: list[str] | None,
    command: str | None,
    url: str | None,
    python: str | None,
) -> tuple[Offer, Worker]:
    from mesh.apps.market.agents import Offer, check_offer, worker_of
    from mesh.apps.market.work import CallableWorker, load_function

    arguments = tuple(shlex.split(command or ""))
    offer = Offer(name, description, price, "", tuple(capabilities or ()), arguments, url or "")
    check_offer(offer)
    if python is not None and (command or url):
        raise UsageError("one of --command, --url and --python does the work")
    return offer, CallableWorker(load_function(python)) if python else worker_of(offer)


def _run(loaded: Loaded, offered: list[tuple[Offer, Worker]]) -> int:
    from mesh.apps.market.environment import wallet_key
    from mesh.console import serving
    from mesh.console.addresses import check_addresses
    from mesh.console.keyfile import private_key
    from mesh.console.running import run_async
    from mesh.telemetry import log

    check_addresses(loaded)
    settings = loaded.config.log
    log.configure(settings.level, settings.format, settings.levels)
    plan = serving.MarketPlan(offered, wallet_key(os.environ))
    return run_async(serving.serve(loaded, private_key(loaded.config), plan))


def loaded_market(path: Path | None, flags: Mapping[str, object] | None = None) -> Loaded:
    """The settings, the real node's variables among them; who has peers to begin with takes part in their DHT, and mDNS
    asks for what real nodes ask for."""
    from dataclasses import replace

    from mesh.apps.market.environment import with_betar
    from mesh.config import load
    from mesh.config.discovery import BETAR_MDNS

    loaded = load(path, flags, with_betar(os.environ))
    config = loaded.config
    if loaded.is_default("mdns.service"):
        config = replace(config, mdns=replace(config.mdns, service=BETAR_MDNS))
    if config.network.bootstrap and loaded.is_default("kademlia.mode"):
        config = replace(config, kademlia=replace(config.kademlia, mode="auto"))
    return replace(loaded, config=config)
