"""`mesh agent import`: go on with what a stock daemon left; `mesh agent export-key`: the way back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.agent_output import tell
from mesh.console.output import warn
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import ConfigError

if TYPE_CHECKING:
    from mesh.apps.agent.import_folder import Translated
    from mesh.config import Loaded
    from mesh.identity.keys import PrivateKey

GATEWAY_TOKEN = "gateway.token"


def import_folder(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Its folder, which stays as it is. [~/.bsv-p2p]")
    ] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Take over key, settings, address book and messages of a stock bsv-p2p daemon; the daemon here must not run."""
    from mesh.apps.agent import stock_folder
    from mesh.apps.agent.import_folder import translate
    from mesh.config import load
    from mesh.console.keyfile import make_folder
    from mesh.console.running import run_async
    from mesh.identity.peer_id import PeerId

    source = folder or Path.home() / stock_folder.FOLDER
    if not source.is_dir():
        raise ConfigError(f"{source}: there is no such folder")
    loaded = load(path)
    key = stock_folder.read_key(source)
    found = translate(stock_folder.read_config(source) | _secrets(source))
    target = loaded.config.node.path
    assert target is not None
    make_folder(target)
    if key is not None:
        _take_key(loaded, key)
    _take_settings(loaded.file, target, found)
    peers, messages = run_async(_take_records(target, source))
    peer = "" if key is None else str(PeerId.from_public_key(key.public))
    lines = [
        f"peer {peer}" if peer else "no key: this node keeps its own",
        *(f"{name} set" for name in found.settings),
        f"{peers} peers, {messages} messages",
    ]
    for note in found.notes:
        warn(note)
    told = {"peer": peer, "settings": list(found.settings), "peers": peers, "messages": messages}
    tell(json, {**told, "notes": found.notes}, lines)


def export_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, such as peer-key.json.")],
    path: FolderOption = None,
) -> None:
    """Write this node's key as a stock daemon keeps it. Whoever has it is this node."""
    from datetime import UTC, datetime

    from mesh.apps.agent.stock_folder import key_document
    from mesh.config import load
    from mesh.console.keyfile import key_path
    from mesh.storage import keystore

    key = keystore.load(key_path(load(path).config))
    text = key_document(key, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z")
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{file}: exists already and is not overwritten; choose another path") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as opened:
        opened.write(text + "\n")


def _secrets(source: Path) -> dict[str, object]:
    """The identity key of an encrypted configuration, if its passphrase is in the environment."""
    from mesh.apps.agent import stock_folder

    passphrase = os.environ.get(stock_folder.PASSPHRASE_VARIABLE, "")
    if not passphrase:
        if (source / "config.encrypted.json").exists():
            warn(
                f"config.encrypted.json is left: its passphrase is not in {stock_folder.PASSPHRASE_VARIABLE}"
            )
        return {}
    found = stock_folder.read_secrets(source, passphrase) or {}
    return {name: found[name] for name in ("bsvIdentityKey",) if name in found}


def _take_key(loaded: Loaded, key: PrivateKey) -> None:
    from mesh.console.keyfile import key_path
    from mesh.storage import keystore

    place = key_path(loaded.config)
    if not os.path.lexists(place):
        keystore.save(place, key)
    elif keystore.load(place).public != key.public:
        raise ConfigError(f"{place}: another key is there already; import into a folder of its own (--path)")


def _take_settings(file: Path, target: Path, found: Translated) -> None:
    from mesh.config.document import set_value, write_atomically

    if found.gateway_token:
        write_atomically(target / GATEWAY_TOKEN, found.gateway_token + "\n")
        found.settings["agent.gateway_token_file"] = target / GATEWAY_TOKEN
    for name, value in found.settings.items():
        set_value(file, name, value)


async def _take_records(target: Path, source: Path) -> tuple[int, int]:
    from mesh.apps.agent.import_folder import import_messages, import_peers
    from mesh.apps.agent.store import AgentStore
    from mesh.apps.agent.store.agent_store import FILE_NAME

    async with AgentStore(target / FILE_NAME) as store:
        return await import_peers(store, source), await import_messages(store, source)
