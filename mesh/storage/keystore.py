"""Key files: the identity of a node, kept between runs.

A file holds the libp2p protobuf of a private key as raw bytes; the protobuf in base64 and PKCS#8 in PEM are
read too. Files are made with mode 0600, whole or not at all, and never overwritten. Everything that is wrong
with one is a ConfigError that names the path, the cause and the remedy.
"""

from __future__ import annotations

import base64
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from mesh.codecs.keys import KeyType
from mesh.errors import ConfigError, DecodeError, Malformed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId

MAX_BYTES: Final = 16 * 1024

_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n \t")
_POSIX: Final = sys.platform != "win32"


class KeyForm(Enum):
    """How a private key is written down."""

    PROTOBUF = "protobuf"
    BASE64 = "base64"
    PEM = "pem"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What can be told about a key file without its secret."""

    path: Path
    form: KeyForm
    key_type: KeyType
    peer_id: PeerId


def load_or_create(path: str | Path, key_type: KeyType = KeyType.ED25519) -> PrivateKey:
    """The key of the file, after making one of `key_type` when there is no file.

    Processes that do so at once end with the same key. Raises ConfigError.
    """
    path = Path(path)
    if not os.path.lexists(path):
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_private(path, export_key(PrivateKey.generate(key_type)))
        except FileExistsError:
            pass
        except OSError as error:
            raise _unwritable(path, error) from None
    return load(path)


def load(path: str | Path) -> PrivateKey:
    """The key of an existing file in any form. Raises ConfigError."""
    return _read(Path(path))[0]


def save(path: str | Path, key: PrivateKey, form: KeyForm = KeyForm.PROTOBUF) -> None:
    """Writes a new key file. Raises ConfigError when the path exists already, or cannot be written."""
    path = Path(path)
    try:
        create_private(path, export_key(key, form))
    except FileExistsError:
        remedy = "key files are never overwritten: choose another path, or move the old file away"
        raise ConfigError(f"{path}: exists already; {remedy}") from None
    except OSError as error:
        raise _unwritable(path, error) from None


def inspect(path: str | Path) -> KeyFile:
    """Type, peer id and form of a key file. Raises ConfigError."""
    path = Path(path)
    key, form = _read(path)
    return KeyFile(path, form, key.type, PeerId.from_public_key(key.public))


def export_key(key: PrivateKey, form: KeyForm = KeyForm.PROTOBUF) -> bytes:
    """The bytes of a key file of this form; the text forms end with a newline."""
    if form is KeyForm.PEM:
        return key.to_pem().encode()
    data = key.to_protobuf()
    return data if form is KeyForm.PROTOBUF else base64.b64encode(data) + b"\n"


def import_key(data: bytes) -> tuple[PrivateKey, KeyForm]:
    """Reads a key in any form and says which one it was. Raises DecodeError."""
    if len(data) > MAX_BYTES:
        raise Malformed("private key", None, f"longer than {MAX_BYTES} bytes")
    if data.lstrip().startswith(b"-----BEGIN"):
        return PrivateKey.from_pem(data.decode("ascii", "replace")), KeyForm.PEM
    if data and _BASE64.issuperset(data):
        try:
            binary = base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            raise Malformed("private key", None, f"looks like base64, but: {error}") from None
        return PrivateKey.from_protobuf(binary), KeyForm.BASE64
    return PrivateKey.from_protobuf(data), KeyForm.PROTOBUF


def _read(path: Path) -> tuple[PrivateKey, KeyForm]:
    try:
        data = read_private(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no key file; check the path, or let `mesh init` make one"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the key file: {_cause(error)}; check its owner and mode"
        ) from None
    remedy = "restore it from a backup, or move it away to start with a new identity"
    if not data:
        raise ConfigError(f"{path}: the key file is empty; {remedy}")
    try:
        return import_key(data)
    except DecodeError as error:
        raise ConfigError(f"{path}: the key file is damaged: {error}; {remedy}") from None


def read_private(path: Path) -> bytes:
    """What a file holds that only its owner may read, cut off behind `MAX_BYTES`. Raises ConfigError for one that others
    can read, and OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path}: not a regular file; give the path of a key file")
        if _POSIX and mode & 0o077:
            exposed = f"mode {stat.S_IMODE(mode):04o} lets other users at the private key"
            raise ConfigError(f"{path}: {exposed}; run: chmod 600 {path}")
        return file.read(MAX_BYTES + 1)


def create_private(path: Path, data: bytes) -> None:
    """Puts a complete file at `path` in one step. Raises FileExistsError when something is there already."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if _POSIX:
            os.link(temporary, path)
            _sync_folder(path.parent)
        else:
            os.rename(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot write the key file: {_cause(error)}; check the folder, or set another path"
    )


def _cause(error: OSError) -> str:
    return error.strerror or str(error)
