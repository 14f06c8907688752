"""`mesh perf`: how fast bytes go to a peer and come back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from mesh.console.output import say, say_json
from mesh.console.probes import AddressArgument, DirectOption, daemon_for, probe_config, target_for
from mesh.console.setup import FolderOption, JsonOption

if TYPE_CHECKING:
    from mesh.multiformats.multiaddr import Multiaddr

DEFAULT_SIZE = "64MiB"


class Screen(Protocol):
    """Shows the lines of a measurement: `intermediary` each second, then `transfer` and `final`."""

    def show(self, line: Mapping[str, Any]) -> None: ...


def perf(
    addr: AddressArgument,
    upload_bytes: Annotated[
        str, typer.Option(metavar="N", help="Bytes to send, such as 1000000 or 64MiB.")
    ] = DEFAULT_SIZE,
    download_bytes: Annotated[str, typer.Option(metavar="N", help="Bytes to ask for.")] = DEFAULT_SIZE,
    direct: DirectOption = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Upload to a peer that serves /perf/1.0.0, then download from it."""
    from mesh.console.running import run_async

    upload, download = _size("--upload-bytes", upload_bytes), _size("--download-bytes", download_bytes)
    daemon = daemon_for(path, direct)
    target = target_for(addr, daemon)
    with _screen(json, upload, download) as screen:
        if daemon is not None:
            body = {"target": str(target), "upload_bytes": upload, "download_bytes": download}
            _show_all(screen, daemon.lines("/perf", body))
        else:
            run_async(_measure(target, upload, download, screen))


async def _measure(target: Multiaddr, upload: int, download: int, screen: Screen) -> None:
    from mesh.node import Node
    from mesh.services import perf as service

    async with Node(probe_config()) as node:
        report = service.Report()
        connection = await node.connect(target)
        lines = service.reported(lambda: connection.open([service.PROTOCOL_ID]), upload, download, report)
        async with aclosing(lines):
            async for line in lines:
                screen.show(line)


def _show_all(screen: Screen, lines: Iterable[Mapping[str, Any]]) -> None:
    for line in lines:
        screen.show(line)


def _screen(as_json: bool, upload: int, download: int) -> AbstractContextManager[Screen]:
    if as_json:
        return nullcontext(JsonScreen())
    words = WordScreen(upload, download)
    if sys.stdout is None or not sys.stdout.isatty():
        return nullcontext(words)
    return BarScreen(words, upload, download)


class JsonScreen:
    """The harness' lines and nothing else."""

    def show(self, line: Mapping[str, Any]) -> None:
        if line["type"] in ("intermediary", "final"):
            say_json(line)


class WordScreen:
    """A line for each way at the end."""

    def __init__(self, upload: int, download: int) -> None:
        self._sizes = {"upload": upload, "download": download}

    def show(self, line: Mapping[str, Any]) -> None:
        if line["type"] == "transfer":
            for name, size in self._sizes.items():
                if size:
                    say(_speed(name, size, float(line[f"{name}Seconds"])))
        elif line["type"] == "final":
            say(f"total {line['timeSeconds']:.3f} s, connecting included")


class BarScreen:
    """A bar for each way while it goes, words at the end."""

    def __init__(self, words: WordScreen, upload: int, download: int) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._words = words
        columns = (TextColumn("{task.description:<8}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, transient=True)
        self._tasks = {
            f"{name}Bytes": self._progress.add_task(name, total=size)
            for name, size in (("upload", upload), ("download", download))
            if size
        }

    def __enter__(self) -> BarScreen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def show(self, line: Mapping[str, Any]) -> None:
        if line["type"] == "intermediary":
            for name, task in self._tasks.items():
                self._progress.advance(task, line[name])
        else:
            self._end()
            self._words.show(line)

    def _end(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()


def _speed(name: str, size: int, seconds: float) -> str:
    rate = f", {size * 8 / seconds / 1e6:.1f} Mbit/s" if seconds > 0 else ""
    return f"{name} {size} bytes in {seconds:.3f} s{rate}"


def _size(option: str, text: str) -> int:
    from mesh.config.values import parse_size
    from mesh.errors import UsageError

    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
