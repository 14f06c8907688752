"""How verbs of `mesh lethean` reach a peer: through the daemon of the data folder, or with a node of their own."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from mesh.errors import ConfigError, UsageError

TARGET: Final = "Node id, HOST:PORT, NODE-ID@HOST:PORT, or best: the best worker, else the next."
MAX_FILES_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 10_000
LONG_BYTES: Final = 128 * 1024


def folder_of(path: Path | None) -> Path:
    """The data folder, made if it has to be."""
    from mesh.config import data_folder
    from mesh.console.keyfile import make_folder

    folder = data_folder(path)
    make_folder(folder)
    return folder


def ask(path: Path | None, direct: bool, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """What came of a call. Raises what the call or the daemon reports."""
    from mesh.console.client import Refused, find
    from mesh.console.running import run_async

    daemon = None if direct else find(folder_of(path))
    size = sum(map(len, dict(body.get("files") or {}).values()))
    if size > LONG_BYTES and sys.stderr is not None and sys.stderr.isatty():
        print(f"sending {size * 3 // 4} bytes ...", file=sys.stderr, flush=True)
    if daemon is not None:
        try:
            return daemon.ask("POST", f"/lethean/{verb}", body)
        except Refused as error:
            if error.code != "not-available":
                raise
    return run_async(_ask_directly(path, verb, body))


async def _ask_directly(path: Path | None, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import replace

    from mesh.apps.lethean.errands import run_errand
    from mesh.apps.lethean.service import LetheanService
    from mesh.config import load
    from mesh.telemetry import log

    config = load(path).config
    log.configure(config.log.level, config.log.format, config.log.levels)
    section = replace(config.lethean, listen="off", peers=())
    async with LetheanService(section, folder_of(path), answering=False) as service:
        return await run_errand(service.controller, verb, body)


def list_peers(path: Path | None) -> list[dict[str, Any]]:
    """Known peers, from the daemon or from the file."""
    from mesh.apps.lethean.overview import known_peers
    from mesh.apps.lethean.service import LetheanService
    from mesh.config import load
    from mesh.console.client import Refused, find

    daemon = find(folder_of(path))
    if daemon is not None:
        try:
            found: list[dict[str, Any]] = daemon.ask("GET", "/lethean/peers")["peers"]
            return found
        except Refused as error:
            if error.code != "not-available":
                raise
    service = LetheanService(load(path).config.lethean, folder_of(path), answering=False)
    try:
        return known_peers(service)
    finally:
        service.abandon()


def change_allowlist(path: Path | None, allow: str | None, revoke: str | None) -> list[str]:
    """Change the allowlist of the daemon, or of the file; the keys that are on it then."""
    from mesh.apps.lethean.service import LetheanService
    from mesh.config import load
    from mesh.console.client import Refused, find

    changes = [(key, off) for key, off in ((allow, False), (revoke, True)) if key is not None]
    daemon = find(folder_of(path))
    allowed: list[str] = []
    if daemon is not None:
        try:
            for key, off in changes:
                body = {"public_key": key, "revoke": off}
                allowed = daemon.ask("POST", "/lethean/allow", body)["allowed"]
            return allowed
        except Refused as error:
            if error.code != "not-available":
                raise
    service = LetheanService(load(path).config.lethean, folder_of(path), answering=False)
    try:
        for key, off in changes:
            (service.revoke if off else service.allow)(key)
        return service.registry.allowlist.keys()
    finally:
        service.abandon()


def json_in(text: str, option: str) -> Any:
    """The JSON of an option, or of the file behind an `@`. Raises `UsageError`, `ConfigError`."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{option} {text}: cannot be read: {error}") from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option}: no JSON: {error}") from None


def files_in(paths: Sequence[Path]) -> dict[str, str]:
    """Files by the name they get in a bundle, in base64: a file by its own name, a folder's by their place in it."""
    found: dict[str, str] = {}
    total = 0
    for path in paths:
        for name, file in _walk(path):
            try:
                data = file.read_bytes()
            except OSError as error:
                raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
            total += len(data)
            if total > MAX_FILES_BYTES or len(found) >= MAX_FILES:
                raise UsageError(
                    f"more than {MAX_FILES_BYTES} bytes or {MAX_FILES} files: a message of the mesh has no room for them"
                )
            found[name] = base64.b64encode(data).decode()
    return found


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            file = Path(folder) / name
            if not file.is_symlink():
                yield file.relative_to(path).as_posix(), file
