"""`mesh agent services` and `mesh agent discover`: what is offered, here and elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh.console.agent_calls import agent_of, part
from mesh.console.agent_output import found_lines, service_line, tell
from mesh.console.lethean_calls import json_in
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the service, such as translate.")]


def discover(
    service: Annotated[str, typer.Argument(help="Id of a service, exactly.")] = "",
    text: Annotated[
        str, typer.Option("--text", metavar="TEXT", help="Text in a service's id, name or description.")
    ] = "",
    peer: Annotated[str, typer.Option("--peer", metavar="PEER", help="Only this agent.")] = "",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """List agents that announced themselves in the last 15 minutes, then those that others say did."""
    found = agent_of(path).get("/discover", {"service": service, "text": text, "peerId": peer})
    lines = [line for each in found["peers"] for line in found_lines(each)]
    tell(json, found, lines or ["nobody announced that; announcements come every five minutes"])


@app.command("list")
def list_(path: FolderOption = None, json: JsonOption = False) -> None:
    """List what this agent offers."""
    found = agent_of(path).get("/services")
    tell(json, found, [service_line(each) for each in found["services"]] or ["nothing is offered"])


@app.command("add")
def add(
    id: IdArgument,
    name: Annotated[str | None, typer.Option(help="Name. [the id]")] = None,
    price: Annotated[float, typer.Option(min=0, help="Satoshis.")] = 0,
    description: Annotated[str | None, typer.Option(help="What it does.")] = None,
    currency: Annotated[str, typer.Option(help="bsv or mnee.")] = "bsv",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Offer a service, in place of one with the same id, and announce it."""
    sats = int(price) if price.is_integer() else price
    body = {
        "id": id,
        "name": name or id,
        "description": description,
        "price": sats,
        "currency": currency,
    }
    done = agent_of(path).ask("POST", "/services", body)
    tell(json, done, [f"{service_line(done['service'])} is offered"])


@app.command("rm")
def rm(id: IdArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Offer a service no more, and announce that."""
    done = agent_of(path).ask("DELETE", f"/services/{part(id)}")
    tell(json, done, [f"{id} is no longer offered"])


@app.command("request")
def request(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    service: IdArgument,
    data: Annotated[str, typer.Option("--data", "-d", metavar="JSON", help="Parameters, or @FILE.")] = "{}",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, max=600, metavar="SECONDS", help="How long to wait.")
    ] = 30.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Ask an agent for a service and wait for its answer."""
    body: dict[str, Any] = {
        "peerId": peer,
        "service": service,
        "params": json_in(data, "--data"),
        "timeoutMs": round(timeout * 1000),
    }
    found = agent_of(path).ask("POST", "/request", body)
    from json import dumps

    shown = (
        dumps(found["result"], indent=2, ensure_ascii=False)
        if found["success"]
        else found["error"] or "refused"
    )
    tell(json, found, shown.split("\n"))
    return 0 if found["success"] else 1
