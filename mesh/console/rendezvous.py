"""`mesh rendezvous`: have the running daemon found under a namespace, and find others."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

PointArgument = Annotated[str, typer.Argument(metavar="POINT", help="Rendezvous point: address or peer id.")]
NamespaceArgument = Annotated[str, typer.Argument(metavar="NAMESPACE", help="Up to 255 bytes of text.")]


@app.command("register")
def register(
    point: PointArgument,
    namespace: NamespaceArgument,
    ttl: Annotated[str | None, typer.Option(metavar="TIME", help="How long, from 2h to 72h. [2h]")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Register the daemon under a namespace; repeat it before the time is over to stay registered."""
    from mesh.console.client import running

    body: dict[str, object] = {"point": point, "namespace": namespace}
    if ttl is not None:
        body["ttl_s"] = _whole_seconds(ttl)
    done = running(path).ask("POST", "/rendezvous/register", body)
    if json:
        say_json(done)
    else:
        say(f"registered under {namespace} for {done['ttl_s']} s")


@app.command("unregister")
def unregister(
    point: PointArgument, namespace: NamespaceArgument, path: FolderOption = None, json: JsonOption = False
) -> None:
    """End the daemon's registration under a namespace."""
    from mesh.console.client import running

    body = {"point": point, "namespace": namespace}
    done = running(path).ask("POST", "/rendezvous/unregister", body)
    if json:
        say_json(done)
    else:
        say(f"no longer registered under {namespace}")


@app.command("discover")
def discover(
    point: PointArgument,
    namespace: Annotated[
        str, typer.Argument(metavar="[NAMESPACE]", help="All of them without one.", show_default=False)
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Peers at most. [as many as the point tells]")
    ] = None,
    cookie: Annotated[str, typer.Option(metavar="HEX", help="Only who came after an answer.")] = "",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print who is registered, one address a line, and the cookie to learn what comes later."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    body = {"point": point, "namespace": namespace, "limit": limit, "cookie": cookie}
    found = running(path).ask("POST", "/rendezvous/discover", body)
    if json:
        say_json(found)
        return
    for each in found["peers"]:
        for address in each["addrs"]:
            say(f"{printable(each['namespace'])}  {printable(address)}/p2p/{each['peer']}")
    say(f"cookie {found['cookie']}")


def _whole_seconds(text: str) -> int:
    from mesh.config.values import parse_seconds
    from mesh.errors import UsageError

    try:
        return round(parse_seconds(text))
    except ValueError as error:
        raise UsageError(f"--ttl: {error}") from None
