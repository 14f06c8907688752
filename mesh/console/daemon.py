"""`mesh daemon`: run a node until a signal ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.console.setup import FolderOption

ServeOption = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Protocols to serve besides the usual: echo,perf.")
]
BlocksOption = Annotated[
    bool | None, typer.Option("--blocks/--no-blocks", help="Keep blocks and exchange them with peers. [no]")
]
PubsubOption = Annotated[
    bool | None, typer.Option("--pubsub/--no-pubsub", help="Speak pubsub with peers that do. [no]")
]
BeamOption = Annotated[
    bool | None, typer.Option("--beam/--no-beam", help="Take part in Beam's service network. [no]")
]


def daemon(
    path: FolderOption = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR",
            help="Address to listen on, once for each. [TCP and QUIC at port 4001 of 127.0.0.1, WebSocket at 4002]",
        ),
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(metavar="ADDR", help="Peer to connect to at start, once for each.")
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|unix:/PATH|off",
            help="Address of the control API. [127.0.0.1:4003, an agent daemon's 4004]",
        ),
    ] = None,
    dht: Annotated[
        str | None, typer.Option(metavar="MODE", help="Part in the DHT: off, client, server or auto. [off]")
    ] = None,
    pubsub: PubsubOption = None,
    blocks: BlocksOption = None,
    agent: Annotated[
        bool | None,
        typer.Option(
            "--agent/--no-agent", help="Be an agent daemon, with pubsub and an API of its own. [no]"
        ),
    ] = None,
    agent_api: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|off", help="Address of the agent API. [127.0.0.1:4003]")
    ] = None,
    beam: BeamOption = None,
    serve: ServeOption = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning, error or critical.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="text or json.")] = None,
) -> int:
    """Run a node until SIGINT or SIGTERM."""
    return run_daemon(
        path,
        {
            "network.listen": listen or None,
            "network.bootstrap": bootstrap or None,
            "api.listen": api,
            "kademlia.mode": dht,
            "gossip.enabled": pubsub,
            "blocks.enabled": blocks,
            "blocks.exchange": blocks,
            "agent.enabled": agent,
            "agent.api": agent_api,
            "beam.enabled": beam,
            "services.serve": serve,
            "log.level": log_level,
            "log.format": log_format,
        },
    )


def run_daemon(path: Path | None, flags: dict[str, object]) -> int:
    """Run a node with these settings, which win over all others, until a signal ends it."""
    from mesh.config import load
    from mesh.console import serving
    from mesh.console.addresses import check_addresses
    from mesh.console.keyfile import private_key
    from mesh.console.running import run_async
    from mesh.telemetry import log

    loaded = load(path, flags)
    check_addresses(loaded)
    settings = loaded.config.log
    log.configure(settings.level, settings.format, settings.levels)
    return run_async(serving.serve(loaded, private_key(loaded.config)))
