"""`mesh diag`: what stands between the running daemon and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mesh.console import finding
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("mdns")(finding.mdns)
app.command("bootstrap")(finding.bootstrap)


@app.callback()
def diag() -> None:
    """What stands between the running daemon and others."""


@app.command("nat")
def nat(
    test: Annotated[bool, typer.Option("--test", help="Ask the servers of stun.servers first.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show whether others can reach the running daemon, at which addresses, through what NAT, and what to do next."""
    from mesh.console.client import running

    daemon = running(path)
    found = daemon.ask("POST", "/nat/test") if test else daemon.ask("GET", "/nat")
    if json:
        say_json(found)
    else:
        _say(found)


@app.command("punches")
def punches(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what became of each attempt of the running daemon at a direct connection instead of a relayed one."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    found = running(path).ask("GET", "/nat/punches")
    if json:
        say_json(found)
        return
    if not found["enabled"]:
        say("hole punching is off: set dcutr.enabled to true")
    for each in found["punches"]:
        side = "began" if each["started"] else "answered"
        came = f"direct over {each['transport']}" if each["transport"] else printable(each["cause"])
        say(f"{each['peer']}  {side}, attempt {each['attempt']}, {each['seconds']:.2f} s: {came}")


def _say(found: Mapping[str, Any]) -> None:
    from mesh.telemetry.log import printable

    source = f", {found['source']}, confidence {found['confidence']} of 3" if found["source"] else ""
    say(f"reachability: {found['reachability']}{source}")
    say(f"NAT: {found['nat_class']}")
    for each in found["stun"]:
        say(
            f"  {each['family']} by STUN: {each['nat_class']}; mapping {each['mapping']}, filtering "
            f"{each['filtering']}, seen as {printable(each['outside'] or '-')}"
        )
    for each in found["transports"]:
        say(f"  {each['transport']} by {each['observers']} observers: {each['kind']}")
    _say_mapping(found["mapping"])
    say("addresses:" if found["addresses"] else "addresses: none")
    for each in found["addresses"]:
        say(
            f"  {printable(each['addr'])}  {each['state']} ({each['source']}, confidence {each['confidence']} of 3, "
            f"observers {each['observers']})"
        )
    say("next:")
    for text in found["advice"]:
        say(f"  {text}")


def _say_mapping(mapping: Mapping[str, Any]) -> None:
    """One line for the router, and one for each port."""
    from mesh.telemetry.log import printable

    known = {
        "off": "off",
        "searching": "the router is being asked",
        "mapped": f"found, {mapping['protocol']} at {mapping['gateway']}",
        "refused": f"refused by {mapping['gateway']}",
        "silent": f"no answer from {mapping['gateway']}",
        "no router": "no default route through a router",
        "not needed": "not needed, this machine has a public address",
        "private": f"double NAT, {mapping['gateway']} has a private address outside ({mapping['protocol']})",
    }
    say(f"port mapping: {known.get(mapping['state'], mapping['state'])}")
    for each in mapping["ports"]:
        name = f"{each['transport']} {each['port']}"
        if each["outside"] is not None:
            left = "until given back" if each["left_s"] is None else f"{each['left_s']:.0f} s left"
            say(f"  {name}: {each['outside']}, {left}")
        elif each["code"] or each["reason"]:
            say(f"  {name}: refused, code {each['code']} {printable(each['reason'])}")
        else:
            say(f"  {name}: no answer yet")
