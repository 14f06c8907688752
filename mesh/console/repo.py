"""`mesh repo`: the running daemon's store of blocks."""

from __future__ import annotations

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("stat")
def stat(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what is kept and sought, and what went between the daemon and each peer."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/repo/stat")
    if json:
        say_json(found)
        return
    say(f"blocks {found['blocks']}, {found['bytes']} of {found['max_bytes']} bytes, {found['pins']} pins")
    if not found["exchange"]:
        say("not exchanged with peers; turn it on with blocks.exchange")
    for each in found["seeking"]:
        say(f"seeking {each}")
    for each in found["peers"]:
        came = f"received {each['received_blocks']} blocks, {each['received_bytes']} bytes"
        say(f"{each['peer']}  {came}, sent {each['sent_bytes']} bytes, wants {each['wants']}")


@app.command("gc")
def collect(path: FolderOption = None, json: JsonOption = False) -> None:
    """Remove blocks that neither a pin nor the history of a replicated mapping holds."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/repo/gc", limit_s=3600.0)
    if json:
        say_json(done)
        return
    say(f"removed {done['removed']} blocks, {done['removed_bytes']} bytes; kept {done['kept']}")
    if done["missing"]:
        say(f"{done['missing']} blocks that pins need are not here")
