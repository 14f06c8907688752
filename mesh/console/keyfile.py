"""The key of a data folder: opened, made on first use, looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mesh.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.identity.keys import PrivateKey


def key_path(config: Config) -> Path:
    """Where the key of this configuration lies."""
    if config.key_path is None:
        raise ConfigError("node.path: a key needs a data folder")
    return config.key_path


def private_key(config: Config) -> PrivateKey:
    """The node's key; the data folder and the key are made when they do not exist."""
    from mesh.codecs.keys import KeyType
    from mesh.storage import keystore

    path = key_path(config)
    make_folder(path.parent)
    return keystore.load_or_create(path, KeyType[config.node.key_type.upper()])


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can enter; one that exists stays as it is."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be created: {error.strerror}") from None
