"""`mesh dht`: find peers, values and providers, look at the routing table.

The running daemon of the data folder asks when there is one; otherwise, and with --direct or --peer, a throw-away client
that starts from the given peers or the configured bootstrap list. What has to last needs the daemon.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mesh.console.dht_output import (
    Steps,
    say_addresses,
    say_near,
    say_provider,
    say_status,
    say_table,
    say_written,
)
from mesh.console.output import say, say_bytes, say_json
from mesh.console.probes import DirectOption
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import RecordNotFound, StorageError, UsageError

MAX_VALUE_BYTES: Final = 4 * 1024 * 1024
"""No message of the DHT holds more."""
REFRESH_S: Final = 300.0

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

PeersOption = Annotated[
    list[str] | None,
    typer.Option("--peer", metavar="ADDR", help="Ask with a node of its own that starts from this peer."),
]
ContentArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="CID, or multihash in hexadecimal or base58.")
]
LookupArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Peer id, CID, multihash, or /namespace/rest.")
]
ValueArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="/namespace/rest, such as /ipns/NAME or /pk/PEER.")
]
HexOption = Annotated[bool, typer.Option("--hex", help="KEY is in hexadecimal, byte by byte.")]


@app.command("find-peer")
def find_peer(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Peer id.")],
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print where a peer is, one address a line."""
    from mesh.console.addresses import parse_peer
    from mesh.console.dht_source import source_for

    wanted = str(parse_peer(peer, "PEER"))
    found = source_for(path, direct, peers or ()).ask("find-peer", {"peer": wanted})
    if json:
        say_json(found)
    elif found["addrs"]:
        say_addresses(found["peer"], found["addrs"])
    else:
        say(f"{found['peer']} is connected; no address of it is known")


@app.command("find-providers")
def find_providers(
    key: ContentArgument,
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="At most this many; 0 is all.")] = 20,
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print who has some content, each as it is found."""
    from mesh.console.dht_source import source_for

    found = []

    def show(line: Mapping[str, Any]) -> None:
        found.append(line)
        if json:
            say_json(line)
        else:
            say_provider(line)

    source_for(path, direct, peers or ()).lines("find-providers", {"key": key, "count": count}, show)
    if not found:
        raise RecordNotFound(f"nobody who was asked knows a provider of {key}")


@app.command("provide")
def provide(key: ContentArgument, path: FolderOption = None, json: JsonOption = False) -> int:
    """Announce the running daemon as a provider of some content, now and every 22 hours."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/dht/provide", {"key": key})
    return _say_done(done, "told", json)


@app.command("withdraw")
def withdraw(key: ContentArgument, path: FolderOption = None, json: JsonOption = False) -> None:
    """Announce some content no more; what others hold of it expires."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/dht/withdraw", {"key": key})
    if json:
        say_json(done)
    else:
        say(f"withdrawn {key}")


@app.command("get")
def get(
    key: ValueArgument,
    hex: HexOption = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to a file; else stdout.")] = None,
    quorum: Annotated[
        int, typer.Option(min=0, help="End after this many further values; 0 asks everybody.")
    ] = 0,
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print the best value of a key as it is, byte by byte; --json gives it in base64."""
    from mesh.console.dht_source import source_for

    source = source_for(path, direct, peers or ())
    found = source.ask("get", {"key": key, "hex": hex, "quorum": quorum})
    value = base64.b64decode(found["value"])
    if out is not None:
        _write(out, value)
        if json:
            say_json({"key": key, "size": len(value), "file": str(out)})
    elif json:
        say_json(found)
    else:
        say_bytes(value)


@app.command("put")
def put(
    key: ValueArgument,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="Text; else --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take the value from a file.")] = None,
    hex: HexOption = False,
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Keep a value at the peers closest to its key; without VALUE and --file it is read from stdin."""
    from mesh.console.dht_source import source_for

    if value is not None and file is not None:
        raise UsageError("give VALUE or --file, not both")
    content = os.fsencode(value) if value is not None else _read(file)
    body = {"key": key, "hex": hex, "value": base64.b64encode(content).decode()}
    return _say_done(source_for(path, direct, peers or ()).ask("put", body), "stored at", json)


@app.command("closest")
def closest(
    key: LookupArgument,
    hex: HexOption = False,
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print the peers nearest to a key that answer, nearest first, and how many bits they share with it."""
    from mesh.console.dht_source import source_for

    found = source_for(path, direct, peers or ()).ask("closest", {"key": key, "hex": hex})
    if json:
        say_json(found)
    else:
        say_near(found["peers"])


@app.command("query")
def query(
    key: LookupArgument,
    trace: Annotated[bool, typer.Option("--trace", help="Print each step as it happens.")] = False,
    hex: HexOption = False,
    direct: DirectOption = False,
    peers: PeersOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Look a key up and print what the lookup found and cost."""
    from mesh.console.dht_source import source_for

    source = source_for(path, direct, peers or ())
    source.lines("query", {"key": key, "hex": hex}, Steps(trace, json).show)


@app.command("table")
def table(path: FolderOption = None, json: JsonOption = False) -> None:
    """Print the daemon's routing table by bucket, numbered as Beam does, with libp2p's prefix length."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/dht/table")
    if json:
        say_json(found)
    else:
        say_table(found)


@app.command("status")
def status(path: FolderOption = None, json: JsonOption = False) -> None:
    """Print what the daemon is to the network, how many peers it knows there and what it holds."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/dht/status")
    if json:
        say_json(found)
    else:
        say_status(found)


@app.command("refresh")
def refresh(path: FolderOption = None, json: JsonOption = False) -> None:
    """Have the daemon look up its own neighbourhood and every bucket now."""
    from mesh.console.client import running

    done = running(path).ask("POST", "/dht/refresh", limit_s=REFRESH_S)
    if json:
        say_json(done)
    else:
        say(f"{done['table_size']} peers in the routing table")


def _say_done(done: Mapping[str, Any], verb: str, as_json: bool) -> int:
    if as_json:
        say_json(done)
    else:
        say_written(done, verb)
    return 0 if done["reached"] else 1


def _read(file: Path | None) -> bytes:
    """The content of a file, or of stdin for None and `-`."""
    try:
        if file is None or str(file) == "-":
            if sys.stdin is None:
                raise UsageError("stdin is closed; give VALUE or --file")
            content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 1)
        else:
            with file.open("rb") as source:
                content = source.read(MAX_VALUE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{file or 'stdin'}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_VALUE_BYTES:
        raise UsageError(f"{file or 'stdin'}: a value has at most {MAX_VALUE_BYTES} bytes")
    return content


def _write(file: Path, value: bytes) -> None:
    try:
        file.write_bytes(value)
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}") from None
