"""`mesh beam network` and `mesh beam peer`: the network around the daemon, and single peers of it."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console.beam_calls import ask, page_of
from mesh.console.beam_output import (
    say_alerts,
    say_concerns,
    say_contribution,
    say_peers,
    say_standing,
    say_stats,
    say_wellbeing,
)
from mesh.console.client import running
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption
from mesh.telemetry.log import printable

network_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The network around the daemon.")
peer_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Single peers.")

PeerArgument = Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")]


@network_app.command("status")
def network_status(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show how the daemon stands in the network."""
    found = ask(path, "GET", "/metrics/system")
    if json:
        say_json(found)
    else:
        say_standing(found)


@network_app.command("health")
def health(path: FolderOption = None, json: JsonOption = False) -> int:
    """Tell how the daemon and others do, and what stands between it and a working network; exit status 1 if anything
    does."""
    found = ask(path, "GET", "/network")
    told = ask(path, "GET", "/health")
    if json:
        say_json({"concerns": found["concerns"]} | told)
    else:
        say_wellbeing(told)
        say_concerns(found["concerns"])
    return 1 if found["concerns"] else 0


@network_app.command("peers")
def peers(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the connected peers: path, latency, score, trust, health, and how many services they offer."""
    found = page_of(path, "/peers", "peers")
    if json:
        say_json({"peers": found})
    else:
        say_peers(found)


@network_app.command("bootstrap")
def bootstrap(path: FolderOption = None, json: JsonOption = False) -> int:
    """List the peers that the daemon joins through, and how dialling them went; exit status 1 when none was reached."""
    found = running(path).ask("GET", "/bootstrap")
    if json:
        say_json(found)
    else:
        for each in found["peers"]:
            state = "connected" if each["connected"] else "reached" if each["reached"] else "not reached"
            cause = f": {printable(each['failure'])}" if each["failure"] else ""
            say(f"{printable(each['addr'])}  {state}{cause}")
        if not found["peers"]:
            say("no peer is named in network.bootstrap")
    return 1 if found["peers"] and not any(each["reached"] for each in found["peers"]) else 0


@network_app.command("stats")
def stats(
    period: Annotated[str, typer.Option("--period", metavar="5m|1h|24h", help="How far back.")] = "1h",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show the means of a period, one sample a minute, and whether they rise or fall against the day."""
    found = ask(path, "GET", "/metrics/history", query={"period": period})
    if json:
        say_json(found)
    else:
        say_stats(found)


@network_app.command("my-stats")
def my_stats(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what the daemon did for others: routes provided, data relayed, peers helped."""
    found = ask(path, "GET", "/network")["contribution"]
    if json:
        say_json(found)
    else:
        say_contribution(found)


@network_app.command("routes")
def routes(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the paths to providers in use, how they were measured, and when and why others took their place."""
    found = ask(path, "GET", "/routes")
    if json:
        say_json(found)
        return
    for each in found["routes"]:
        chosen = "  chosen" if each["chosen"] else ""
        say(f"{each['peer']}  {each['path']}  score {each['route_score']:.3f}{chosen}")
    for each in found["changes"]:
        taken = f"{each['before'] or 'none'} -> {each['after'] or 'none'}"
        say(f"{each['ago_s']:.0f} s ago  {each['peer']}  {taken}: {printable(each['reason'])}")
    if not found["routes"]:
        say("no path was taken yet")


@network_app.command("alerts")
def alerts(path: FolderOption = None, json: JsonOption = False) -> None:
    """List what peers did too much of in the last 24 hours."""
    found = ask(path, "GET", "/alerts")
    if json:
        say_json(found)
    else:
        say_alerts(found["alerts"])


@network_app.command("outbox")
def outbox(path: FolderOption = None, json: JsonOption = False) -> None:
    """List registrations that reached no majority yet."""
    found = ask(path, "GET", "/outbox")
    if json:
        say_json(found)
        return
    for each in found["operations"]:
        say(f"{each['operation']} {each['subject']}: tried {each['retry_count']} times")
    if not found["operations"]:
        say("nothing waits")


@peer_app.command("list")
def list_peers(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the connected peers."""
    found = running(path).ask("GET", "/swarm/peers")
    if json:
        say_json(found)
        return
    for each in found["peers"]:
        say(f"{each['peer']}  {printable(each['addr'])}")


@peer_app.command("connect")
def connect(
    address: Annotated[str, typer.Argument(metavar="ADDR", help="Address, or the id of a known peer.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Connect to a peer."""
    made = running(path).ask("POST", "/swarm/connect", {"addr": address})
    if json:
        say_json(made)
    else:
        say(f"connected {made['peer']}  {printable(made['addr'])}")


@peer_app.command("disconnect")
def disconnect(peer: PeerArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Close every connection to a peer."""
    done = running(path).ask("POST", "/swarm/disconnect", {"peer": peer})
    if json:
        say_json(done)
    else:
        say(f"disconnected {done['peer']}")


@peer_app.command("ban")
def ban(
    peer: PeerArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; `mesh swarm deny` lists it.")] = "",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Have nothing more to do with a peer; `mesh swarm deny --drop PEER` takes it back."""
    done = running(path).ask("POST", "/swarm/deny", {"rule": peer, "reason": reason})
    if json:
        say_json(done)
    else:
        say(f"banned {done['rule']}; {done['closed_connections']} connections closed")


@peer_app.command("info")
def info(peer: PeerArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what a peer says of itself."""
    found = running(path).ask("POST", "/identify", {"target": peer})
    if json:
        say_json(found)
        return
    say(f"peer {found['peer_id']}")
    say(f"agent {printable(found['agent_version'])}")
    for address in found["listen_addrs"]:
        say(f"address {printable(address)}")
    for protocol in found["protocols"]:
        say(f"protocol {printable(protocol)}")
