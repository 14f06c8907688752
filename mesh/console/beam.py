"""`mesh beam`: services under names, tunnels to them, and how the daemon stands in Beam's network."""

from __future__ import annotations

import json as json_text
import time
from typing import Annotated, Any, Final

import typer

from mesh.console.beam_calls import PREFIX, ask, page_of
from mesh.console.beam_names import names_app
from mesh.console.beam_network import network_app, peer_app
from mesh.console.beam_output import (
    say_concerns,
    say_found,
    say_registered,
    say_services,
    say_standing,
    say_tunnel,
    say_tunnels,
)
from mesh.console.client import running
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import UsageError

LOOKING_S: Final = 60.0
FEWEST: Final = 1

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(names_app, name="names")
app.add_typer(network_app, name="network")
app.add_typer(peer_app, name="peer")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="myapp, myapp.local, or myapp.PEER for one provider.")
]
TtlOption = Annotated[
    int | None,
    typer.Option("--ttl", metavar="S", help="Seconds that the record counts for. [beam.service_ttl_s]"),
]


@app.command("register")
def register(
    name: NameArgument,
    service_type: Annotated[str, typer.Option("--type", help="http, tcp, udp, ws or other.")] = "http",
    endpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR", help="Where it is, once for each. [this node's addresses]"),
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What else others are told, once for each.")
    ] = None,
    description: Annotated[str, typer.Option(help="Of the name.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Of the name, once for each.")] = None,
    ttl: TtlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Offer a service under a name that others resolve; tunnels are for `expose`."""
    body: dict[str, Any] = {
        "name": name,
        "service_type": service_type,
        "endpoints": endpoint or [],
        "metadata": _metadata(meta or []),
        "description": description,
        "tags": tag or [],
        "ttl": ttl,
    }
    return _register(body, path, json)


@app.command("expose")
def expose(
    name: NameArgument,
    port: Annotated[int, typer.Argument(metavar="PORT", help="TCP port of the service on this machine.")],
    allow: Annotated[
        list[str] | None, typer.Option(metavar="PEER", help="Peer id that may reach it, once for each.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Anybody may reach it.")] = False,
    host: Annotated[str, typer.Option(metavar="HOST", help="Where the service listens.")] = "127.0.0.1",
    ttl: TtlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Let others reach a local TCP port by a name, now and whenever the daemon runs, until `unregister`."""
    if public == bool(allow):
        raise UsageError("say who may reach it: --allow PEER, once for each, or --public for anybody")
    exposed = {"port": port, "host": host, "public": public, "allow": allow or []}
    facts = {"protocol": "tcp", "tunnel": "/beam/tunnel/tcp/1.0.0"}
    return _register({"name": name, "metadata": facts, "ttl": ttl, "expose": exposed}, path, json)


@app.command("unregister")
def unregister(name: NameArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Offer a service no more; the name stays this node's."""
    done = ask(path, "DELETE", f"/services/{name}")
    if json:
        say_json(done)
    else:
        say(f"{done['service_id']} is offered no more; {done['accepted']} of {done['asked']} peers know")


@app.command("list")
def list_services(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the services that the daemon offers or has heard of."""
    found = page_of(path, "/services", "services")
    if json:
        say_json({"services": found})
    else:
        say_services(found)


@app.command("resolve")
def resolve(
    name: NameArgument,
    context: Annotated[str, typer.Option(help="local, webhook or api.")] = "local",
    every: Annotated[bool, typer.Option("--all", help="All providers, not the best one alone.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask the network, whatever is known.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Print where a service is; exit status 1 when nobody provides it."""
    query = {"fresh": str(fresh).lower()}
    if context != "local":
        found = ask(
            path, "GET", f"/names/{name}/resolve", query={**query, "context": context}, limit_s=LOOKING_S
        )
    else:
        found = ask(path, "GET", f"/services/{name}/resolve", query=query, limit_s=LOOKING_S)
    if not every:
        found["providers"] = found["providers"][:FEWEST]
    if json:
        say_json(found)
    else:
        say_found(found)
    return 0 if found["providers"] else 1


@app.command("open")
def open_tunnel(
    name: NameArgument,
    local: Annotated[int, typer.Option(metavar="PORT", help="Port on 127.0.0.1; 0 is any free one.")] = 0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have a local port lead to a service, at whichever provider answers, until `close` or the end of the daemon."""
    made = ask(path, "POST", "/tunnels", {"name": name, "local_port": local}, limit_s=LOOKING_S)
    if json:
        say_json(made)
    else:
        say_tunnel(made)


@app.command("close")
def close_tunnel(
    number: Annotated[int, typer.Argument(metavar="ID", help="As `tunnels` lists it.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """End a tunnel with its connections."""
    done = ask(path, "DELETE", f"/tunnels/{number}")
    if json:
        say_json(done)
    else:
        say(f"closed {done['id']}")


@app.command("tunnels")
def tunnels(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the local ports that lead to services."""
    found = ask(path, "GET", "/tunnels")
    if json:
        say_json(found)
    else:
        say_tunnels(found["tunnels"])


@app.command("status")
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every few seconds, until interrupted.")
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Seconds between two, with --watch.")
    ] = 2.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show peers online, the DHT's health, latency, bandwidth, processor, memory, names, hits of the cache."""
    daemon = running(path)
    while True:
        found = daemon.ask("GET", "/metrics/system", prefix=PREFIX)
        if json:
            say_json(found)
        else:
            say_standing(found)
        if not watch:
            return
        time.sleep(interval)


@app.command("doctor")
def doctor(path: FolderOption = None, json: JsonOption = False) -> int:
    """Tell what stands between the daemon and a working network, and what to do; exit status 1 if anything does."""
    found = ask(path, "GET", "/network")
    if json:
        say_json({"concerns": found["concerns"]})
    else:
        say_concerns(found["concerns"])
    return 1 if found["concerns"] else 0


@app.command("cache")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remember nothing of what was found.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show how often lookups were answered from what is remembered."""
    done = ask(path, "DELETE", "/cache") if clear else ask(path, "GET", "/metrics/system")["cache"]
    if json:
        say_json(done)
    elif clear:
        say(f"forgot {done['cleared']} services")
    else:
        say(f"{done['hits']} of {done['lookups']} lookups from {done['entries']} remembered services")


def _register(body: dict[str, Any], path: Any, as_json: bool) -> int:
    done = ask(path, "POST", "/services", body, limit_s=LOOKING_S)
    if as_json:
        say_json(done)
    else:
        say_registered(done)
    return 0


def _metadata(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE, where a value that is JSON counts as that."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"--meta {pair!r} is not KEY=VALUE")
        try:
            found[key] = json_text.loads(text)
        except ValueError:
            found[key] = text
    return found
