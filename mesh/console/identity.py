"""`mesh id` and `mesh key`: who this node is, and moving its key in and out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mesh.console.output import say, say_bytes, say_json
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import ConfigError, DecodeError, StorageError

if TYPE_CHECKING:
    from mesh.storage.keystore import KeyFile

FormName = Literal["protobuf", "pem", "base64"]

key_app = typer.Typer(help="Move the private key in and out.", no_args_is_help=True, rich_markup_mode=None)


def show_id(path: FolderOption = None, json: JsonOption = False) -> None:
    """Print the peer id of this node."""
    found = _inspected(_key_path(path))
    if json:
        say_json(_described(found))
    else:
        say(str(found.peer_id))


@key_app.command("export")
def export(
    format: Annotated[FormName, typer.Option(help="protobuf is binary, the others are text.")] = "base64",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file; else stdout.")] = None,
    path: FolderOption = None,
) -> None:
    """Write the private key to stdout or to a new file. Whoever has it is this node."""
    from mesh.storage import keystore

    key = keystore.load(_key_path(path))
    form = keystore.KeyForm(format)
    if out is not None:
        keystore.save(out, key, form)
        return
    say_bytes(keystore.export_key(key, form))


@key_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="protobuf, PEM or base64; - is stdin.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a key, keeping it as .bak.")] = False,
    path: FolderOption = None,
) -> None:
    """Make the private key in FILE this node's key."""
    from mesh.console.keyfile import make_folder
    from mesh.identity.peer_id import PeerId
    from mesh.storage import keystore

    try:
        key, _ = keystore.import_key(_read(file))
    except DecodeError as error:
        raise ConfigError(f"{file}: not a private key: {error}") from None
    target = _key_path(path)
    make_folder(target.parent)
    if not os.path.lexists(target):
        keystore.save(target, key)
    elif force:
        say(f"backup {_replace(target, keystore.export_key(key))}")
    else:
        raise ConfigError(f"{target}: a key exists already; --force replaces it and keeps a backup")
    say(f"peer {PeerId.from_public_key(key.public)}")


@key_app.command("inspect")
def inspect(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A key file; else this node's.")
    ] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print type, peer id and file form of a key, never the key."""
    described = _described(_inspected(file if file is not None else _key_path(path)))
    if json:
        say_json(described)
        return
    for name, value in described.items():
        say(f"{name} {value}")


def _key_path(folder: Path | None) -> Path:
    from mesh.config import load
    from mesh.console.keyfile import key_path

    return key_path(load(folder).config)


def _inspected(path: Path) -> KeyFile:
    from mesh.storage import keystore

    return keystore.inspect(path)


def _described(found: KeyFile) -> dict[str, object]:
    return {
        "peer_id": str(found.peer_id),
        "type": found.key_type.name.lower(),
        "form": found.form.value,
        "file": str(found.path),
    }


def _read(file: Path) -> bytes:
    from mesh.storage.keystore import MAX_BYTES

    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with file.open("rb") as source:
            return source.read(MAX_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from None


def _replace(target: Path, data: bytes) -> Path:
    """Put a new key in the place of an old one, which stays under the first free `.bak` name."""
    from mesh.config.document import write_atomically

    backup = target.with_name(target.name + ".bak")
    number = 1
    try:
        while True:
            try:
                os.link(target, backup)
                break
            except FileExistsError:
                number += 1
                backup = target.with_name(f"{target.name}.bak{number}")
    except OSError as error:
        raise StorageError(f"{backup}: the backup cannot be written: {error.strerror}") from None
    write_atomically(target, data)
    return backup
