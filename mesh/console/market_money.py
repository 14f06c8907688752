"""`mesh market order`, `wallet` and `workflow`: orders, what the wallet has, agents one after another."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from mesh.console.agent_output import columns
from mesh.console.market_agents import tell_market
from mesh.console.market_calls import MarketCalls, UrlOption, market_of, part
from mesh.console.setup import FolderOption, JsonOption

orders = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
wallet = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
workflows = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ENDED: Final = ("completed", "failed", "canceled")
LOOK_S: Final = 0.2
IdOption = Annotated[str, typer.Option("--id", metavar="ID", help="Id of the workflow.")]


@orders.command("create")
def create_order(
    agent_id: Annotated[str, typer.Option("--agent-id", metavar="ID", help="Id of the agent.")],
    price: Annotated[float, typer.Option(min=0, help="USDC.")] = 0.0,
    api_url: UrlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Make an order, at the agent's seller too. It is a note: nothing is paid and no work begins."""
    done = market_of(path, api_url).ask("POST", "/orders", {"agentId": agent_id, "price": price})
    tell_market(json, done, [f"{done['orderId']} {done['status']}"])


@orders.command("list")
def list_orders(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show the orders that this node made and took."""
    found = market_of(path, api_url).get("/orders")
    rows = [[each["orderId"], each["status"], f"{each['price']:g} USDC", each["agentId"]] for each in found]
    tell_market(json, found, columns(rows))


@wallet.command("balance")
def balance(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what the wallet has, as the chain says."""
    found = market_of(path, api_url).get("/wallet/balance")
    lines = [f"{found['address']} {found.get('usdcBalance', '?')} USDC, {found['balance']} ETH"]
    tell_market(json, found, lines)


@wallet.command("purchases")
def purchases(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what was bought, and what became of it."""
    found = market_of(path, api_url).get("/purchases")
    rows = [[each["id"], each["state"], each["amount"], each.get("txHash", "-")] for each in found]
    tell_market(json, found, columns(rows))


@wallet.command("sales")
def sales(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what was sold for pay; state refund is owed to its buyer."""
    found = market_of(path, api_url).get("/sales")
    rows = [[each["purchase"], each["state"], each["amount"], each.get("txHash", "-")] for each in found]
    tell_market(json, found, columns(rows))


@workflows.command("create")
def create(
    chain: Annotated[str, typer.Option("--chain", metavar="ID,ID", help="Ids of the agents, in order.")],
    text: Annotated[str, typer.Option("--input", metavar="TEXT", help="What the first one gets.")],
    budget: Annotated[
        float | None, typer.Option(min=0, help="USDC that all steps together may cost. [no limit]")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    api_url: UrlOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have several agents work one after another, each on what the one before gave."""
    calls = market_of(path, api_url)
    agents = [each.strip() for each in chain.split(",") if each.strip()]
    done = calls.ask("POST", "/workflows", {"agentIds": agents, "input": text, "budget": budget})
    while wait and done["status"] not in ENDED:
        time.sleep(LOOK_S)
        done = _workflow(calls, done["id"])
    tell_market(json, done, _lines(done))


@workflows.command("status")
def status(
    workflow_id: IdOption, api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Show how far a workflow is."""
    found = _workflow(market_of(path, api_url), workflow_id)
    tell_market(json, found, _lines(found))


@workflows.command("list")
def list_workflows(api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show all workflows."""
    found = market_of(path, api_url).get("/workflows")
    rows = [[each["id"], each["status"], f"{len(each['steps'])} steps", each["createdAt"]] for each in found]
    tell_market(json, found, columns(rows))


@workflows.command("cancel")
def cancel(
    workflow_id: IdOption, api_url: UrlOption = None, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Begin no further step of a workflow; one that is under way is finished."""
    done = market_of(path, api_url).ask("DELETE", f"/workflows/{part(workflow_id)}")
    tell_market(json, done, _lines(done))


def _workflow(calls: MarketCalls, workflow_id: str) -> dict[str, Any]:
    found: dict[str, Any] = calls.get(f"/workflows/{part(workflow_id)}")
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    cost = f", {found['totalCost']} USDC" if found["totalCost"] else ""
    rows = [
        [f"  {each['index']}", each["status"], each["agentId"], each.get("output") or each.get("error", "")]
        for each in found["steps"]
    ]
    return [f"{found['id']} {found['status']}{cost}", *columns(rows)]
