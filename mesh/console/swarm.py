"""`mesh swarm`: the connections, addresses, limits and rules of the running daemon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

RuleArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RULE", help="Peer id, IP address, network or *; without one the rules are listed."
    ),
]
DropOption = Annotated[bool, typer.Option("--drop", help="Take the rule back.")]


@app.command("peers")
def peers(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the connections."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/swarm/peers")
    if json:
        say_json(found)
        return
    rows = [
        [
            each["peer"],
            each["addr"],
            each["dir"],
            f"{each['streams']} streams",
            "-" if each["rtt_ms"] is None else f"{each['rtt_ms']:.3f} ms",
            each["agent_version"] or "-",
        ]
        for each in found["peers"]
    ]
    _say_rows(rows)


@app.command("connect")
def connect(
    addr: Annotated[str, typer.Argument(metavar="ADDR", help="Multiaddr, or the peer id of a known peer.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Connect to a peer."""
    from mesh.console.client import running

    made = running(path).ask("POST", "/swarm/connect", {"addr": addr})
    if json:
        say_json(made)
    else:
        _say_rows([["connected", made["peer"], made["addr"]]])


@app.command("disconnect")
def disconnect(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Close all connections to a peer."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/swarm/disconnect", {"peer": peer})
    if json:
        say_json(done)
    else:
        _say_rows([["disconnected", done["peer"], f"{done['connections']} connections"]])


@app.command("addrs")
def addrs(path: FolderOption = None, json: JsonOption = False) -> None:
    """List this node's addresses and those it knows of others."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/swarm/addrs")
    if json:
        say_json(found)
        return
    rows = [["own", address] for address in found["own"]]
    rows += [[each["peer"], address] for each in found["known"] for address in each["addrs"]]
    _say_rows(rows)


@app.command("limits")
def limits(
    by_peer: Annotated[bool, typer.Option("--peers", help="The scope of each peer too.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show what each resource scope holds and may hold, and what was refused."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/swarm/limits", query={"peers": str(by_peer).lower()})
    if json:
        say_json(found)
        return
    rows = []
    for each in found["scopes"]:
        used, limit = each["used"], each["limit"]
        rows += [
            [each["scope"], name, str(used.get(name, "-")), f"of {most}"] for name, most in limit.items()
        ]
    rows += [
        [each["scope"], each["resource"], str(each["count"]), f"refused, limit {each['limit']}"]
        for each in found["refusals"]
    ]
    _say_rows(rows)


@app.command("kept")
def kept(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show how the node stays connected: each peer's place in Beam's lifecycle, its quality and its next ping or dial."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/swarm/kept")
    if json:
        say_json(found)
        return
    if not found["enabled"]:
        say("nobody is probed, replaced or dialled again: set keeping.enabled to true")
        return
    say(f"{found['connected']} connected, {found['low']} to {found['high']} wanted")
    _say_rows(
        [
            [
                each["peer"],
                each["lifecycle"],
                each["state"] or "-",
                f"value {each['value']:.2f}",
                "-" if each["latency_ms"] is None else f"{each['latency_ms']:.1f} ms",
                f"{100 * each['reliability']:.0f} % answered",
                each["network"] or "-",
                *(["used"] if each["used"] else []),
                *(["protected"] if each["protected"] else []),
            ]
            for each in found["peers"]
        ]
    )


@app.command("deny")
def deny(
    rule: RuleArgument = None, drop: DropOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Deny a peer, an address or a network; connections it forbids are closed."""
    _change_rules("deny", rule, drop, running_path=path, as_json=json)


@app.command("allow")
def allow(
    rule: RuleArgument = None, drop: DropOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Allow a peer, an address or a network against wider rules that deny it."""
    _change_rules("allow", rule, drop, running_path=path, as_json=json)


def _change_rules(
    verdict: str, rule: str | None, drop: bool, *, running_path: Path | None, as_json: bool
) -> None:
    from mesh.console.client import running
    from mesh.errors import UsageError

    if rule is None and drop:
        raise UsageError("--drop needs the RULE to take back")
    daemon = running(running_path)
    if rule is None:
        found = daemon.ask("GET", f"/swarm/{verdict}")
        if as_json:
            say_json(found)
        else:
            _say_rows([[verdict, each["rule"], each["reason"]] for each in found["rules"]])
        return
    if drop:
        done = daemon.ask("DELETE", f"/swarm/{verdict}", query={"rule": rule})
    else:
        done = daemon.ask("POST", f"/swarm/{verdict}", {"rule": rule})
    if as_json:
        say_json(done)
        return
    closed = done["closed_connections"]
    row = ["dropped" if drop else verdict, done["rule"]]
    _say_rows([[*row, f"{closed} connections closed"] if closed else row])


def _say_rows(rows: Sequence[Sequence[str]]) -> None:
    """Columns below each other; text may come from peers."""
    from mesh.telemetry.log import printable

    clean = [[printable(cell) for cell in row] for row in rows]
    widths: dict[int, int] = {}
    for row in clean:
        for index, cell in enumerate(row):
            widths[index] = max(widths.get(index, 0), len(cell))
    for row in clean:
        say("  ".join(cell.ljust(widths[index]) for index, cell in enumerate(row)).rstrip())
