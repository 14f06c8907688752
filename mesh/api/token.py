"""The secret that a caller has to show: made on first use, readable by the owner of the data folder alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from mesh.errors import ConfigError, StorageError

FILE_NAME: Final = "api.token"
TOKEN_BYTES: Final = 32
MIN_CHARACTERS: Final = 32
MAX_CHARACTERS: Final = 512
_POSIX = os.name == "posix"


def make_token() -> str:
    """A new token of 32 random bytes."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def load_or_create(folder: Path, name: str = FILE_NAME) -> str:
    """The token of a data folder, in the file of that name. Raises `ConfigError` for a file that others may read or that
    holds no token, and `StorageError` when it cannot be read or written."""
    path = folder / name
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    token = make_token()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise StorageError(f"{path}: the API token cannot be written: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def load(folder: Path) -> str:
    """The token of a data folder that has one. Raises like `load_or_create`."""
    try:
        return _read(folder / FILE_NAME)
    except FileNotFoundError:
        raise StorageError(f"{folder / FILE_NAME}: the API token is missing; restart the daemon") from None


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(MAX_CHARACTERS + 2)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: the API token cannot be read: {error.strerror}") from None
    if _POSIX and mode & 0o077:
        exposed = f"mode {stat.S_IMODE(mode):04o} lets other users at the API token"
        raise ConfigError(f"{path}: {exposed}; remove it, a new one will be made")
    token = text.strip()
    if not MIN_CHARACTERS <= len(token) <= MAX_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{path}: this is no API token; remove it, a new one will be made")
    return token
