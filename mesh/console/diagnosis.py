"""`mesh diag`: what stands between the running daemon and others."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console import doctor, finding
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("mdns")(finding.mdns)
app.command("bootstrap")(finding.bootstrap)
app.command("path")(doctor.path_to)
app.command("healthy")(doctor.healthy)


@app.callback()
def diag() -> None:
    """What stands between the running daemon and others."""


@app.command("nat")
def nat(
    test: Annotated[bool, typer.Option("--test", help="Ask the servers of stun.servers first.")] = False,
    wait: doctor.WaitOption = 20.0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show whether others can reach the running daemon, at which addresses, through what NAT, why, and what to do."""
    from mesh.console.client import running

    daemon = running(path)
    if test:
        daemon.ask("POST", "/nat/test")
    found = daemon.ask("POST", "/diag/nat", {"wait_s": wait})
    if json:
        say_json(found)
        return
    doctor.say_nat(found)
    doctor.say_verdict(found["diagnosis"])
    say("next:")
    for text in found["advice"]:
        say(f"  {text}")


@app.command("punches")
def punches(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what became of each attempt of the running daemon at a direct connection instead of a relayed one."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/nat/punches")
    if json:
        say_json(found)
        return
    if not found["enabled"]:
        say("hole punching is off: set dcutr.enabled to true")
    doctor.say_punches(found["punches"])
