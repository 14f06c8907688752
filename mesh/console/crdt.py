"""`mesh crdt`: mappings that every node in a topic has. The running daemon is the replica, from the first use on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.console.output import say, say_bytes, say_json
from mesh.console.setup import FolderOption, JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Topic of the mapping.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A path such as /tea/green.")]
PrefixArgument = Annotated[str, typer.Argument(metavar="[PREFIX]", help="Keys at and below it.")]


@app.command("get")
def get(
    topic: TopicArgument,
    key: KeyArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bytes there.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Write the bytes of a key's value to stdout; exit status 1 when it has none."""
    import base64

    from mesh.console.client import running
    from mesh.console.keeping_files import write_file

    found = running(path).ask("POST", "/crdt/get", _asked(topic, key=key))
    if json:
        say_json(found)
        return
    value = base64.b64decode(found["value"])
    if out is not None:
        write_file(out, value)
    else:
        say_bytes(value)


@app.command("put")
def put(
    topic: TopicArgument,
    key: KeyArgument,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="Text; - or nothing: --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take the value from a file.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Set a key, to at most 1 MiB; a value that it has already changes nothing."""
    import base64
    import os

    from mesh.console.client import running
    from mesh.console.keeping_files import read_whole
    from mesh.errors import UsageError

    given = value is not None and value != "-"
    if given and file is not None:
        raise UsageError("give VALUE or --file, not both")
    data = os.fsencode(value) if value is not None and given else read_whole(file)
    body = _asked(topic, key=key, value=base64.b64encode(data).decode())
    done = running(path).ask("POST", "/crdt/put", body)
    if json:
        say_json(done)
    else:
        say(f"{'put' if done['changed'] else 'has it already:'} {_shown(done['key'])}")


@app.command("del")
def delete(
    topic: TopicArgument, key: KeyArgument, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Remove a key."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/crdt/delete", _asked(topic, key=key))
    if json:
        say_json(done)
    else:
        say(f"{'deleted' if done['deleted'] else 'had no value:'} {_shown(done['key'])}")


@app.command("ls")
def ls(
    topic: TopicArgument, prefix: PrefixArgument = "/", path: FolderOption = None, json: JsonOption = False
) -> None:
    """List keys and values in the order of the keys; --json has the values in base64."""
    from mesh.console.client import running

    for line in running(path).lines("/crdt/entries", _asked(topic, prefix=prefix)):
        if json:
            say_json(line)
        else:
            say(f"{_shown(line['key'])}  {_text(line['value'])}")


@app.command("watch")
def watch(
    topic: TopicArgument,
    prefix: PrefixArgument = "/",
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="End after so many; 0 goes on.")] = 0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print changes as they come, whoever makes them."""
    from mesh.console.client import running
    from mesh.console.output import warn

    for line in running(path).lines("/crdt/watch", _asked(topic, prefix=prefix, count=count)):
        if json:
            say_json(line)
        elif line["type"] == "changed":
            gone = line["value"] is None
            say(f"{_shown(line['key'])}  {'deleted' if gone else _text(line['value'])}")
        elif line["type"] == "missed":
            warn(f"{line['changes']} changes came faster than they were read")


@app.command("heads")
def heads(topic: TopicArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Show the heads of the daemon's replica and how far it is."""
    from mesh.console.client import running

    found = running(path).ask("POST", "/crdt/heads", _asked(topic))
    if json:
        say_json(found)
        return
    for each in found["heads"]:
        say(f"{each['cid']}  height {each['height']}")
    behind = f"{found['behind']} nodes are missing" if found["behind"] else "nothing is missing"
    say(f"{behind}; {found['peers']} peers; {found['counts']['merged']} nodes merged since the start")


def _asked(topic: str, **fields: str | int) -> dict[str, str | int]:
    from mesh.console.pubsub import check_text
    from mesh.errors import UsageError

    check_text(topic)
    for name, text in fields.items():
        try:
            str(text).encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name.upper()} is not UTF-8") from None
    return {"topic": topic, **fields}


def _shown(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)


def _text(value: str) -> str:
    """A value on one line, whatever its bytes are."""
    import base64

    return _shown(base64.b64decode(value).decode(errors="backslashreplace"))
