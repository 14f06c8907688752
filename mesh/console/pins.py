"""`mesh pin`: what stays among the running daemon's blocks."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.console.blocks import CidArgument, LimitOption, answer_s, limit_s
from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("add")
def add(
    cid: CidArgument,
    direct: Annotated[bool, typer.Option("--direct", help="The block alone, not what is below it.")] = False,
    name: Annotated[str, typer.Option(metavar="TEXT", help="A name for the pin.")] = "",
    limit: LimitOption = "1h",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Get a CID with all below it, and let it stay."""
    from mesh.console.client import running

    seconds = limit_s(limit)
    body = {"cid": cid, "recursive": not direct, "name": name, "limit_s": seconds}
    done = running(path).ask("POST", "/pins/add", body, limit_s=answer_s(seconds))
    say_json(done) if json else say(f"pinned {done['cid']}")


@app.command("rm")
def remove(cid: CidArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Let go of a pin; what it held goes at the next `mesh repo gc`."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/pins/remove", {"cid": cid})
    if json:
        say_json(done)
    else:
        say(f"{'unpinned' if done['removed'] else 'no pin names'} {done['cid']}")


@app.command("ls")
def list_pins(path: FolderOption = None, json: JsonOption = False) -> None:
    """List all pins."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    found = running(path).ask("GET", "/pins")
    if json:
        say_json(found)
        return
    for each in found["pins"]:
        kind = "recursive" if each["recursive"] else "direct"
        say(f"{each['cid']}  {kind}  {printable(each['name'])}".rstrip())
