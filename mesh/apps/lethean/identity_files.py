"""The files of a node's identity: its key as 32 raw bytes, and what it says of itself (the Lethean mesh, section 2.4).

A key file is made with mode 0600 at once and never overwritten; id and public key of the identity have to be those of the
key. Everything that is wrong is a ConfigError that names the path, the cause and the remedy.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.apps.lethean.whole_file import write_whole
from mesh.errors import ConfigError, DecodeError
from mesh.protocols.lethean.go_json import decode_utf8
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.identity import KEY_BYTES, Identity, NodeKey

MAX_IDENTITY_BYTES: Final = 64 * 2**10
FOLDER: Final = "lethean-desktop"
DEFAULT_NAME: Final = "lethean-node"
_POSIX: Final = sys.platform != "win32"


@dataclass(frozen=True, slots=True)
class LetheanPaths:
    """Where a node's files are. `miners` is the folder that deployments go to."""

    key: Path
    identity: Path
    peers: Path
    miners: Path


def default_paths(environment: Mapping[str, str], home: Path, platform: str = sys.platform) -> LetheanPaths:
    """The places a Go node uses. XDG variables that are relative or empty are ignored."""
    if platform == "darwin":
        data = config = home / "Library" / "Application Support"
    else:
        data = _folder(environment, "XDG_DATA_HOME", home / ".local" / "share")
        config = _folder(environment, "XDG_CONFIG_HOME", home / ".config")
    return LetheanPaths(
        data / FOLDER / "node" / "private.key",
        config / FOLDER / "node.json",
        config / FOLDER / "peers.json",
        data / FOLDER / "miners",
    )


def load(paths: LetheanPaths) -> Own | None:
    """Key and identity, None when neither file exists. Raises ConfigError when they do not belong together."""
    if not os.path.lexists(paths.key):
        if os.path.lexists(paths.identity):
            raise ConfigError(
                f"{paths.identity}: there is an identity, but no key at {paths.key}; restore the key from a backup, or "
                "move the identity away to start with a new one"
            )
        return None
    key = _read_key(paths.key)
    if not os.path.lexists(paths.identity):
        raise ConfigError(
            f"{paths.key}: there is a key, but no identity at {paths.identity}; restore it, or let "
            "`load_or_create` write it anew from the key"
        )
    return Own(key, _read_identity(paths.identity, key, paths.key))


def load_or_create(
    paths: LetheanPaths, private: bytes, name: str, created_at: str, role: str = "dual"
) -> Own:
    """Key and identity, made from `private` (32 fresh random bytes) when there is no key. Raises ConfigError.

    An identity file that is missing beside a key is written anew: all of it but name and time follows from the key.
    """
    if not os.path.lexists(paths.key) and os.path.lexists(paths.identity):
        load(paths)
    if not os.path.lexists(paths.key):
        _create_key(paths.key, private)
    key = _read_key(paths.key)
    if not os.path.lexists(paths.identity):
        identity = key.identity(name or DEFAULT_NAME, created_at, role)
        write_whole(paths.identity, identity.encode_indented())
    return Own(key, _read_identity(paths.identity, key, paths.key))


def delete(paths: LetheanPaths) -> None:
    """Removes both files: the identity is gone for good. Raises ConfigError."""
    for path in (paths.identity, paths.key):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be deleted: {error.strerror or error}") from None


def _folder(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    value = environment.get(variable, "")
    return Path(value) if value and Path(value).is_absolute() else default


def _read_key(path: Path) -> NodeKey:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            data = file.read(KEY_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the key file: {error.strerror or error}; check its owner and mode"
        ) from None
    if _POSIX and mode & 0o077:
        exposed = f"mode {stat.S_IMODE(mode):04o} lets other users at the private key"
        raise ConfigError(f"{path}: {exposed}; run: chmod 600 {path}")
    if len(data) != KEY_BYTES:
        raise ConfigError(
            f"{path}: a key file has {KEY_BYTES} raw bytes and nothing else; restore it from a backup, or move it away"
        )
    return NodeKey(data)


def _create_key(path: Path, private: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags, 0o600), "wb") as file:
            file.write(NodeKey(private).private)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot write the key file: {error.strerror or error}; check the folder, or set another path"
        ) from None


def _read_identity(path: Path, key: NodeKey, key_path: Path) -> Identity:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_IDENTITY_BYTES + 1)
        if len(data) > MAX_IDENTITY_BYTES:
            raise ConfigError(f"{path}: longer than {MAX_IDENTITY_BYTES} bytes; it is no identity")
        identity = Identity.decode(decode_utf8(data))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the identity: {error.strerror or error}") from None
    except DecodeError as error:
        raise ConfigError(
            f"{path}: the identity is damaged: {error}; move it away, it is written anew"
        ) from None
    if (identity.id, identity.public_key) != (key.id, key.public_text):
        raise ConfigError(
            f"{path}: the identity {identity.id[:40]} is not that of the key {key_path} ({key.id}); "
            "one of the two files belongs to another node: restore the right one"
        )
    return identity
