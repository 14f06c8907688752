"""`mesh agent`: the running agent daemon - how it does, whom it knows, what was said."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mesh.console import agent_doctor, agent_messages, agent_peers, agent_services, agent_waking
from mesh.console.agent_calls import agent_of
from mesh.console.agent_import import export_key, import_folder
from mesh.console.agent_mcp import mcp
from mesh.console.agent_output import columns, instant, short, span, tell
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(agent_peers.app, name="peers", help="The address book.")
app.add_typer(agent_services.app, name="services", help="What this agent offers, and asking others.")
app.add_typer(agent_messages.app, name="messages", help="What was said.")
app.add_typer(agent_waking.app, name="wake", help="How the agent is woken.")
app.command("discover")(agent_services.discover)
app.command("doctor")(agent_doctor.doctor)
app.command("mcp")(mcp)
app.command("import")(import_folder)
app.command("export-key")(export_key)

status_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(status_app, name="status", help="How the agent does; network: others; broadcast: tell them.")
app.add_typer(config_app, name="config", help="The name that this agent goes by.")

MultiaddrOption = Annotated[
    str | None, typer.Option("--at", metavar="ADDR", help="Multiaddr that is dialled first.")
]
WaitOption = Annotated[
    float, typer.Option("--wait", min=0, max=60, metavar="SECONDS", help="How long to wait for it to leave.")
]


@status_app.callback()
def status(context: typer.Context, path: FolderOption = None, json: JsonOption = False) -> None:
    """Who this agent is and how it does."""
    if context.invoked_subcommand is not None:
        return
    calls = agent_of(path)
    found, health = calls.get("/status"), calls.get("/health")
    figures = calls.get("/messages/stats")
    services = calls.get("/services")["count"]
    rows = [
        ["agent", f"{found['name']} {found['peerId']}"],
        ["health", "; ".join(health["errors"]) or "all is well"],
        ["relay", found["relayAddress"] or ("connected" if found["relayConnected"] else "none")],
        ["peers", f"{found['connectedPeers']} connected"],
        ["services", f"{services} offered"],
        [
            "messages",
            f"{figures['totalInbound']} in, {figures['totalOutbound']} out, {figures['totalUnread']} unread",
        ],
        ["up", f"{span(found['uptime'])}, since {instant(found['startTime'])}"],
    ]
    tell(
        json, {**found, "errors": health["errors"], "messages": figures, "services": services}, columns(rows)
    )


@status_app.command("network")
def network(path: FolderOption = None, json: JsonOption = False) -> None:
    """What this node and others last said of themselves."""
    found = agent_of(path).get("/status/network")
    rows = [
        [
            each["name"],
            short(each["peerId"]),
            f"{each['connectedPeers']} peers",
            f"up {span(each['uptime'])}",
            ", ".join(each["services"]) or "-",
            instant(each["timestamp"]),
        ]
        for each in (found["self"], *found["peers"])
    ]
    last = f"last broadcast {instant(found['lastBroadcast'] or 0)}"
    tell(json, found, [*columns(rows), last])


@status_app.command("broadcast")
def broadcast(path: FolderOption = None, json: JsonOption = False) -> None:
    """Tell others this node's status now."""
    done = agent_of(path).ask("POST", "/status/broadcast")
    tell(json, done, ["status broadcast"])


@config_app.command("name")
def name(
    name: Annotated[
        str | None, typer.Argument(help="New name; without one the present one is printed.")
    ] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show or set the name that this agent goes by."""
    calls = agent_of(path)
    found = calls.get("/config/name") if name is None else calls.ask("PUT", "/config/name", {"name": name})
    tell(json, found, [found["name"]])


@app.command("send")
def send(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    message: Annotated[str, typer.Argument(metavar="TEXT", help="The message; - reads stdin.")],
    at: MultiaddrOption = None,
    reply_to: Annotated[
        str | None, typer.Option("--reply-to", metavar="ID", help="Message that this answers.")
    ] = None,
    wait: WaitOption = 3.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Send a message; it stays in the outbox until its peer can be reached."""
    text = sys.stdin.read() if message == "-" else message
    body = {
        "peerId": peer,
        "message": text,
        "multiaddr": at,
        "replyTo": reply_to,
        "waitMs": round(wait * 1000),
    }
    _tell_sent(json, agent_of(path).ask("POST", "/send", body))


@app.command("pay")
def pay(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    txid: Annotated[str, typer.Argument(metavar="TXID", help="Id of the transaction.")],
    amount: Annotated[int, typer.Argument(metavar="SATS", min=0, help="Satoshis.")],
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where they went.")],
    vout: Annotated[int, typer.Option(min=0, help="Output of the transaction.")] = 0,
    beef: Annotated[str | None, typer.Option(metavar="HEX", help="The transaction itself.")] = None,
    memo: Annotated[str | None, typer.Option(help="Words with it.")] = None,
    at: MultiaddrOption = None,
    wait: WaitOption = 3.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Send a payment message. It tells of a transaction and moves no money."""
    body: dict[str, Any] = {
        "peerId": peer,
        "txid": txid,
        "amount": amount,
        "toAddress": to,
        "vout": vout,
        "beef": beef,
        "memo": memo,
        "multiaddr": at,
        "waitMs": round(wait * 1000),
    }
    _tell_sent(json, agent_of(path).ask("POST", "/pay", body))


@app.command("why")
def why(
    message: Annotated[str, typer.Argument(metavar="ID", help="Id of a message.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Tell one message's whole way."""
    from mesh.console.agent_calls import part

    found = agent_of(path).get(f"/messages/{part(message)}/why")
    lines = []
    for way in found["ways"]:
        lines.append(f"{way['messageId']} {way['direction']} {way['peerId']}: {way['state']}")
        lines.append(f"{way['size']} bytes, {way['attempts']} attempts")
        lines += columns(
            [
                [
                    f"  {instant(step['at'])}",
                    step["what"],
                    f"signed by {short(step['signedBy'])}" if step["signedBy"] else "seen here",
                    step["detail"],
                ]
                for step in way["steps"]
            ]
        )
        if way["waitsFor"]:
            next_try = f", next try {instant(way['nextTry'])}" if way["nextTry"] else ""
            lines.append(f"waits for {way['waitsFor']}{next_try}")
    tell(json, found, lines)


def _tell_sent(json: bool, done: dict[str, Any]) -> None:
    if done["state"] == "queued":
        words = "queued: the peer was not reached yet and will be tried again"
    else:
        words = str(done["state"])
    tell(json, done, [f"{done['messageId']} {words}"])
