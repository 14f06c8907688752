"""`mesh file`: files and directories among the running daemon's blocks."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from mesh.console.blocks import LimitOption, answer_s, limit_s
from mesh.console.output import result_bytes, say, say_json
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import StorageError, UsageError

if TYPE_CHECKING:
    from mesh.console.client import Daemon
    from mesh.ipld.block import Block
    from mesh.ipld.unixfs.files import File

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

MAX_DEPTH = 64
"""Of folders in folders; deeper ones are refused."""
PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="CID, or CID/name/name, with or without /ipfs/ before it.")
]
Advance = Callable[[int], object]


@app.command("add")
def add(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file, or a folder with all in it; - is stdin.")
    ],
    no_pin: Annotated[bool, typer.Option("--no-pin", help="Let it go at the next `mesh repo gc`.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Cut a file or a folder into blocks, keep them, and print the CID of the root."""
    from mesh.console.client import running

    daemon = running(path)
    try:
        total = None if source == Path("-") else _size(source)
        with _bar("add", total, json) as advance:
            root = _Adding(daemon, advance).add(source)
    except OSError as error:
        raise StorageError(f"{error.filename or source}: {error.strerror or error}") from None
    if not no_pin:
        daemon.ask("POST", "/pins/add", {"cid": str(root.cid), "name": source.name})
    result = {"cid": str(root.cid), "size": root.size, "total_bytes": root.total_bytes}
    say_json(result) if json else say(str(root.cid))


@app.command("get")
def get(
    file: PathArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there, not to stdout.")] = None,
    limit: LimitOption = "1h",
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Write a file's bytes to stdout, from here or from connected peers."""
    from mesh.console.client import running

    if json and out is None:
        raise UsageError("--json needs --out: the file's bytes go to stdout")
    body = {"path": file, "limit_s": limit_s(limit)}
    lines = running(path).lines("/files/get", body)
    end: dict[str, Any] = {}
    try:
        with _destination(out) as opened, _bar("get", None, json or out is None) as advance:
            for line in lines:
                if line["type"] == "end":
                    end = {"cid": line["cid"], "size": line["size"]}
                    continue
                data = base64.b64decode(line["data"])
                opened.write(data)
                advance(len(data))
            opened.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"{out}: {error.strerror or error}") from None
    if json:
        say_json(end)


@app.command("ls")
def list_entries(
    directory: PathArgument, limit: LimitOption = "60s", path: FolderOption = None, json: JsonOption = False
) -> None:
    """List what a directory names."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    seconds = limit_s(limit)
    body = {"path": directory, "limit_s": seconds}
    found = running(path).ask("POST", "/files/entries", body, limit_s=answer_s(seconds))
    if json:
        say_json(found)
        return
    for each in found["entries"]:
        say(f"{each['cid']}  {each['total_bytes']:>12}  {printable(each['name'])}")


class _Adding:
    """Cuts what is on this machine into blocks, and has the daemon keep them one by one."""

    def __init__(self, daemon: Daemon, advance: Advance) -> None:
        self._daemon = daemon
        self._advance = advance

    def add(self, source: Path, depth: int = 0) -> File:
        """A file or folder. Raises `UsageError` for what is neither, `OSError`."""
        if source == Path("-"):
            return self._file(sys.stdin.buffer)
        if source.is_file():
            with source.open("rb") as opened:
                return self._file(opened)
        if not source.is_dir() or source.is_symlink():
            raise UsageError(f"{source}: neither a file nor a folder")
        if depth == MAX_DEPTH:
            raise UsageError(f"{source}: more than {MAX_DEPTH} folders deep")
        return self._folder(source, depth)

    def _file(self, content: BinaryIO) -> File:
        from mesh.ipld.unixfs.files import CHUNK_BYTES, FileBuilder

        builder = FileBuilder()
        while piece := content.read(CHUNK_BYTES):
            self._put(builder.add(piece))
            self._advance(len(piece))
        file, last = builder.finish()
        self._put(last)
        return file

    def _folder(self, folder: Path, depth: int) -> File:
        from mesh.ipld.dag_pb import Link
        from mesh.ipld.unixfs.directories import build_directory, total_bytes
        from mesh.ipld.unixfs.files import File

        inner = {each.name: self.add(each, depth + 1) for each in sorted(folder.iterdir())}
        entries = {name: Link(each.cid, name, each.total_bytes) for name, each in inner.items()}
        blocks = build_directory(entries)
        self._put(blocks)
        return File(blocks[-1].cid, 0, total_bytes(blocks, entries))

    def _put(self, blocks: list[Block]) -> None:
        from mesh.multiformats.cid import RAW

        for block in blocks:
            codec = "raw" if block.cid.codec == RAW else "dag-pb"
            body = {"data": base64.b64encode(block.data).decode(), "codec": codec}
            self._daemon.ask("POST", "/blocks/put", body)


def _size(source: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if source.is_file():
        return source.stat().st_size
    return sum(each.stat().st_size for each in source.rglob("*") if each.is_file())


def _destination(out: Path | None) -> AbstractContextManager[BinaryIO]:
    return result_bytes() if out is None else out.open("wb")


def _bar(name: str, total: int | None, quiet: bool) -> AbstractContextManager[Advance]:
    """A progress bar on a terminal; what is called with each number of bytes that is done."""
    if quiet or not sys.stderr.isatty():
        return nullcontext(lambda _size: None)
    return _Bar(name, total)


class _Bar:
    def __init__(self, name: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, transient=True, console=Console(stderr=True))
        self._task = self._progress.add_task(name, total=total)

    def __enter__(self) -> Advance:
        self._progress.start()
        return lambda size: self._progress.advance(self._task, size)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
