"""`mesh relay`: run a node that others are reached through, until a signal ends it."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console.daemon import run_daemon
from mesh.console.setup import FolderOption


def relay(
    path: FolderOption = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR",
            help="Address to listen on, once for each. [TCP and QUIC at port 4001 of 127.0.0.1, WebSocket at 4002]",
        ),
    ] = None,
    reservations: Annotated[
        int | None, typer.Option(metavar="N", help="Peers that may be reached through it. [100]")
    ] = None,
    circuits: Annotated[
        int | None, typer.Option(metavar="N", help="Circuits that a peer is an end of. [16]")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="A circuit is ended after this; 0 for never. [2m]")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="SIZE", help="A circuit passes this each way; 0 for all. [128KiB]")
    ] = None,
    topics: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Also pass on what is said in these pubsub topics: agent."),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT|unix:/PATH|off", help="Address of the control API. [127.0.0.1:4003]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning, error or critical.")
    ] = None,
) -> int:
    """Run a relay until SIGINT or SIGTERM: a node that others are reached through."""
    return run_daemon(
        path,
        {
            "relay.serve": True,
            "relay.max_reservations": reservations,
            "relay.max_circuits_per_peer": circuits,
            "relay.circuit_s": time,
            "relay.circuit_bytes": data,
            "relay.topics": topics,
            "network.listen": listen or None,
            "api.listen": api,
            "log.level": log_level,
        },
    )
