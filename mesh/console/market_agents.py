"""`mesh market agent`: offer agents, look for them, have them work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from mesh.console.agent_output import columns, short, span
from mesh.console.market_calls import UrlOption, market_of, part
from mesh.console.output import say
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Sort = Literal["name", "price", "capability", "seller", "age"]
IdOption = Annotated[str, typer.Option("--agent-id", metavar="ID", help="Id of the agent.")]


def tell_market(as_json: bool, answer: Any, lines: Iterable[str]) -> None:
    """An answer for a person or a program."""
    import json

    from mesh.telemetry.log import printable

    if as_json:
        say(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
        return
    for line in lines:
        say(printable(line))


@app.command("register")
def register(
    name: Annotated[str, typer.Option("--name", "-n", help="Its name.")],
    description: Annotated[str, typer.Option("--description", "-d", help="What it does.")] = "",
    price: Annotated[float, typer.Option("--price", "-r", min=0, help="USDC that a task costs.")] = 0.0,
    capability: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="What it can do, once for each.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Works: the task on stdin, its output on stdout.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help='Works: {"input": ...} is posted there.')
    ] = None,
    api_url: UrlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Offer an agent at the running node, and list it everywhere."""
    body = {
        "name": name,
        "description": description,
        "price": price,
        "capabilities": capability,
        "command": shlex.split(command) if command else None,
        "url": url,
    }
    done = market_of(path, api_url).ask("POST", "/agents", body)
    tell_market(json, done, [f"{done['agentID']} {done['name']}"])


@app.command("withdraw")
def withdraw(
    agent_id: IdOption, api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Offer an agent no more; its listing disappears everywhere."""
    done = market_of(path, api_url).ask("DELETE", f"/agents/{part(agent_id)}")
    tell_market(json, done, [f"withdrawn {done['agentID']} {done['name']}"])


@app.command("list")
def list_own(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show the agents of the running node."""
    found = market_of(path, api_url).get("/agents/local")
    rows = [[each["agentID"], each["name"], _price(each["price"]), each["description"]] for each in found]
    tell_market(json, found, columns(rows))


@app.command("discover")
def discover(
    text: Annotated[str, typer.Argument(help="In the name, the id or a capability.")] = "",
    capability: Annotated[str, typer.Option(metavar="WORD", help="What it can do.")] = "",
    seller: Annotated[str, typer.Option(metavar="PEER", help="Peer id of its seller.")] = "",
    max_price: Annotated[float | None, typer.Option(min=0, help="Most that it costs, in USDC.")] = None,
    verified: Annotated[
        bool, typer.Option("--verified", help="Those of which the seller is proven.")
    ] = False,
    sort: Annotated[Sort, typer.Option(help="Order.")] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    api_url: UrlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Look for agents of everybody."""
    query = {
        "text": text,
        "capability": capability,
        "seller": seller,
        "max_price": max_price,
        "verified": verified,
        "sort": sort,
        "reverse": reverse,
    }
    found = market_of(path, api_url).get("/listings", query)
    rows = [
        [
            each["listing"]["id"],
            each["listing"]["name"],
            _price(each["listing"]["price"]),
            "verified" if each["verified"] else "unverified",
            short(each["listing"]["sellerId"]),
            f"heard {span(int(each['ageSeconds']))} ago",
            ",".join(each["listing"].get("capabilities", [])),
        ]
        for each in found
    ]
    tell_market(json, found, columns(rows))


@app.command("execute")
def execute(
    agent_id: IdOption,
    task: Annotated[str, typer.Option("--task", "-t", metavar="TEXT", help="The task; - reads stdin.")],
    limit: Annotated[
        float | None, typer.Option(min=0, help="Most that it may cost, in USDC. [what its listing says]")
    ] = None,
    purchase: Annotated[
        str | None,
        typer.Option("--purchase", metavar="ID", help="Go on with this purchase; pays no second time."),
    ] = None,
    api_url: UrlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have an agent work, and print its output."""
    text = sys.stdin.read() if task == "-" else task
    body = {"input": text, "limit": limit, "purchaseId": purchase}
    done = market_of(path, api_url).ask("POST", f"/agents/{part(agent_id)}/execute", body)
    tell_market(json, done, [done["output"]])


def _price(price: float) -> str:
    return f"{price:g} USDC" if price else "free"
