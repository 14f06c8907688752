"""`mesh bootstrap`: the peers a node begins with, in the running daemon and in the configuration file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.console.output import say, say_json, warn
from mesh.console.probes import DirectOption
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.config import Config

KEY = "network.bootstrap"

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDR", help="Such as /dnsaddr/example.org/p2p/12D3...")
]
NoSaveOption = Annotated[
    bool, typer.Option("--no-save", help="Change the running daemon alone, not the configuration file.")
]


class UnknownAddress(MeshError):  # noqa: N818 - a condition, as the code names it
    """The list has no such address."""

    code = "unknown-peer"


@app.command("list")
def list_(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the peers and how dialling them stands; without a daemon, those that are configured."""
    from mesh.console.probes import daemon_for

    daemon = daemon_for(path, False)
    if daemon is None:
        peers = [{"addr": each, "peer": _peer(each)} for each in _configured(path)]
        found: Mapping[str, Any] = {"peers": peers}
    else:
        found = daemon.ask("GET", "/bootstrap")
    if json:
        say_json(found)
        return
    for each in found["peers"]:
        say(f"{_clean(each['addr'])}  {_clean(_state(each))}")


@app.command("add")
def add(
    addr: AddressArgument, no_save: NoSaveOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Add a peer to the running daemon, which dials it at once, and to the configuration file."""
    from mesh.console.addresses import parse_address

    address = str(parse_address(addr, "ADDR"))
    saved = _Saved(path)
    told = _tell(path, no_save, "POST", body={"addr": address})
    changed = not no_save and saved.put(
        [*saved.addresses, address] if address not in saved.addresses else None
    )
    _say_change("added", address, told is not None, changed, json)


@app.command("rm")
def rm(
    addr: AddressArgument, no_save: NoSaveOption = False, path: FolderOption = None, json: JsonOption = False
) -> None:
    """Remove a peer from the running daemon and from the configuration file; a connection to it stays."""
    from mesh.console.addresses import parse_address

    address = str(parse_address(addr, "ADDR"))
    saved = _Saved(path)
    in_file = not no_save and address in saved.addresses
    try:
        told = _tell(path, no_save, "DELETE", query={"addr": address})
    except MeshError as error:
        if error.code != UnknownAddress.code or not in_file:
            raise
        told = None
    if told is None and not in_file:
        raise UnknownAddress(f"{address} is not in the bootstrap list")
    changed = in_file and saved.put([each for each in saved.addresses if each != address])
    _say_change("removed", address, told is not None, changed, json)


@app.command("check")
def check(direct: DirectOption = False, path: FolderOption = None, json: JsonOption = False) -> int:
    """Dial each peer now and say which answered, and at what stage and why others failed."""
    from mesh.console.probes import daemon_for
    from mesh.console.running import run_async

    answers: list[bool] = []

    def show(line: Mapping[str, Any]) -> None:
        answers.append(line["answered"])
        if json:
            say_json(line)
        else:
            _say_checked(line)

    daemon = daemon_for(path, direct)
    if daemon is not None:
        for line in daemon.lines("/bootstrap/check", {}):
            show(line)
    else:
        run_async(_check(path, show))
    if not json:
        say(f"{sum(answers)} of {len(answers)} answered")
    return 0 if all(answers) else 1


async def _check(path: Path | None, show: Any) -> None:
    from contextlib import aclosing

    from mesh.api.bootstrap_check import checked
    from mesh.console.addresses import parse_address
    from mesh.console.probes import quiet
    from mesh.node import Node

    config = _config(path)
    addresses = [parse_address(each, KEY) for each in config.network.bootstrap]
    async with Node(quiet(config)) as node, aclosing(checked(node, addresses)) as lines:
        async for line in lines:
            show(line)


class _Saved:
    """The list as the configuration file has it, without what environment and flags add."""

    def __init__(self, path: Path | None) -> None:
        from mesh.config import FILE_NAME, load
        from mesh.config.sources import parse_file, read_file

        loaded = load(path)
        self._origin = loaded.origins[KEY]
        self._file = loaded.file.parent / FILE_NAME
        section = parse_file(read_file(self._file), self._file).get("network", {})
        self.addresses: list[str] = list(section.get("bootstrap", ()))

    def put(self, addresses: list[str] | None) -> bool:
        """Write another list; None writes nothing. Whether something was written."""
        from mesh.config import document

        if addresses is None:
            return False
        document.set_value(self._file, KEY, tuple(addresses))
        if self._origin.layer == "environment":
            warn(f"{self._origin} is set and wins over {self._file}")
        return True


def _tell(
    path: Path | None,
    no_save: bool,
    method: str,
    *,
    body: dict[str, Any] | None = None,
    query: dict[str, str] | None = None,
) -> Mapping[str, Any] | None:
    """What the running daemon answers; None when there is none and the file will do."""
    from mesh.console.client import running
    from mesh.console.probes import daemon_for

    daemon = running(path) if no_save else daemon_for(path, False)
    return None if daemon is None else daemon.ask(method, "/bootstrap", body, query)


def _say_change(verb: str, address: str, in_daemon: bool, in_file: bool, as_json: bool) -> None:
    if as_json:
        say_json({"addr": address, "daemon": in_daemon, "saved": in_file})
        return
    places = [name for name, there in (("daemon", in_daemon), ("configuration", in_file)) if there]
    say(f"{verb} {_clean(address)} ({' and '.join(places) or 'nothing to change'})")


def _state(peer: Mapping[str, Any]) -> str:
    if "reached" not in peer:
        return "no daemon runs"
    if peer["connected"]:
        return "connected"
    if peer["reached"]:
        return "reached"
    if not peer["failures"]:
        return "dialling"
    cause = " ".join(peer["failure"].split())
    return f"failed {peer['failures']}x, next try in {peer['next_try_s']:.0f} s: {cause}"


def _say_checked(line: Mapping[str, Any]) -> None:
    address = _clean(line["addr"])
    if line["answered"]:
        serves = {True: ", serves the DHT", False: ", does not serve the DHT", None: ""}[line["serves_dht"]]
        say(
            f"{address}  answered in {line['time_ms']:.1f} ms, {_clean(line['agent_version']) or '-'}{serves}"
        )
        return
    say(f"{address}  failed")
    for each in line["failures"]:
        say(f"  {_clean(each['address'])}: {each['stage']}: {_clean(each['cause'])}")


def _configured(path: Path | None) -> Iterable[str]:
    return _config(path).network.bootstrap


def _config(path: Path | None) -> Config:
    from mesh.config import load
    from mesh.telemetry import log

    config = load(path).config
    log.configure(config.log.level, config.log.format, config.log.levels)
    return config


def _peer(text: str) -> str | None:
    from mesh.api.bootstrap_check import peer_text
    from mesh.console.addresses import parse_address

    return peer_text(parse_address(text, KEY))


def _clean(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)
