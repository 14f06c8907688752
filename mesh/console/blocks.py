"""`mesh block`: blocks of the running daemon by their CIDs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.console.output import say, say_bytes, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

CidArgument = Annotated[str, typer.Argument(metavar="CID", help="Version 0 or 1, in any multibase.")]
LimitOption = Annotated[
    str, typer.Option("--limit", metavar="TIME", help="How long peers are asked, at most an hour.")
]


def limit_s(text: str) -> float:
    """Seconds of a `--limit`. Raises `UsageError`."""
    from mesh.config.values import parse_seconds
    from mesh.errors import UsageError

    try:
        return parse_seconds(text)
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from None


def answer_s(limit: float) -> float:
    """How long the daemon may take to answer a request that has a limit of its own."""
    from mesh.console.client import ANSWER_S

    return limit + ANSWER_S


@app.command("get")
def get(
    cid: CidArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bytes there.")] = None,
    limit: LimitOption = "60s",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Write a block's bytes to stdout, from here or from connected peers."""
    import base64

    from mesh.console.client import running
    from mesh.console.keeping_files import write_file

    seconds = limit_s(limit)
    body = {"cid": cid, "limit_s": seconds}
    found = running(path).ask("POST", "/blocks/get", body, limit_s=answer_s(seconds))
    if json:
        say_json(found)
        return
    data = base64.b64decode(found["data"])
    if out is not None:
        write_file(out, data)
    else:
        say_bytes(data)


@app.command("put")
def put(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Its bytes; stdin without one.")
    ] = None,
    codec: Annotated[str, typer.Option(metavar="NAME", help="raw, dag-pb or dag-cbor.")] = "raw",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Keep up to 1 MiB as a block and print its CID; unpinned it goes at the next `mesh repo gc`."""
    import base64

    from mesh.console.client import running
    from mesh.console.keeping_files import read_whole

    data = read_whole(file)
    body = {"data": base64.b64encode(data).decode(), "codec": codec}
    done = running(path).ask("POST", "/blocks/put", body)
    say_json(done) if json else say(done["cid"])


@app.command("stat")
def stat(
    cid: CidArgument, limit: LimitOption = "60s", path: FolderOption = None, json: JsonOption = False
) -> None:
    """Show how large a block is; it is got from peers when it is not here."""
    from mesh.console.client import running

    seconds = limit_s(limit)
    body = {"cid": cid, "limit_s": seconds}
    found = running(path).ask("POST", "/blocks/stat", body, limit_s=answer_s(seconds))
    if json:
        say_json(found)
    else:
        say(f"{found['cid']}  {found['size']} bytes{'  pinned' if found['pinned'] else ''}")


@app.command("rm")
def remove(cid: CidArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Remove a block from here, unless a pin names it."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/blocks/remove", {"cid": cid})
    if json:
        say_json(done)
    else:
        say(f"{'removed' if done['removed'] else 'not here:'} {done['cid']}")
