"""What a stock daemon left in its folder, ``~/.bsv-p2p``: key, settings, address book, message log (sections 6 to 8).

Nothing in the folder is changed: files are read, the message log is copied before SQLite opens it, since opening one can
change the files beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mesh.apps.agent.records import (
    MAX_ADDRESSES,
    MAX_ID_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_NOTES_CHARACTERS,
    MAX_SERVICES,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    DeliveryState,
    Direction,
    MessageRecord,
    TrackedPeer,
)
from mesh.apps.agent.store.address_book import MAX_COUNT, SHORT_NAME_CHARACTERS
from mesh.errors import ConfigError, DecodeError
from mesh.identity.keys import PrivateKey

FOLDER: Final = ".bsv-p2p"
PASSPHRASE_VARIABLE: Final = "BSV_CONFIG_PASSPHRASE"
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_PEERS: Final = 100_000
ROWS_AT_ONCE: Final = 500
SEEDED_FRIEND: Final = "12D3KooWEaP93ASxzXWJanh11xZ4UneyooPxDmQ9k6L8Rb8s9Dg4"
"""Whom a stock daemon enters as a friend of everybody's when its address book is empty."""
_SCRYPT: Final = (16384, 8, 1, 32)


@dataclass(frozen=True, slots=True)
class StockPeer:
    """A peer of `peers.json`; ``given_name`` is empty where the name is the default one."""

    peer: TrackedPeer
    given_name: str


def read_key(folder: Path) -> PrivateKey | None:
    """The key of `peer-key.json` (section 7.1); None when there is no such file.

    Takes the protobuf of 68 bytes and the older 96 bytes of data; a key that contradicts itself is an error and never
    replaced. Raises `ConfigError`.
    """
    file = folder / "peer-key.json"
    document = _document(file)
    if document is None:
        return None
    numbers = document.get("privateKey") if isinstance(document, dict) else None
    if not isinstance(numbers, list) or not all(
        isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 256 for each in numbers
    ):
        raise ConfigError(f"{file}: privateKey is no array of byte values; restore the file from a backup")
    try:
        return PrivateKey.from_protobuf(bytes(numbers))
    except DecodeError as error:
        raise ConfigError(f"{file}: no libp2p private key: {error}; restore the file from a backup") from None


def key_document(key: PrivateKey, created_at: str) -> str:
    """The text of a `peer-key.json` with this key, as stock daemons write it."""
    numbers = list(key.to_protobuf())
    return json.dumps({"privateKey": numbers, "createdAt": created_at}, indent=2)


def read_config(folder: Path) -> dict[str, Any]:
    """The object of `config.json`; empty when there is no such file. Raises `ConfigError`."""
    document = _document(folder / "config.json")
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{folder / 'config.json'}: no JSON object")
    return document


def read_secrets(folder: Path, passphrase: str) -> dict[str, Any] | None:
    """What `config.encrypted.json` hides (section 7.3); None when there is no such file. Raises `ConfigError`."""
    file = folder / "config.encrypted.json"
    document = _document(file)
    return None if document is None else unlocked(document, passphrase, str(file))


def unlocked(document: Any, passphrase: str, place: str) -> dict[str, Any]:
    """The object that an encrypted one holds: AES-256-GCM under a key of scrypt. Raises `ConfigError`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        if document["version"] != 1 or document["algorithm"] != "aes-256-gcm":
            raise ConfigError(
                f"{place}: version {document['version']!r}, {document['algorithm']!r} is not known"
            )
        salt, iv, tag, text = (
            bytes.fromhex(document[name]) for name in ("salt", "iv", "authTag", "ciphertext")
        )
        n, r, p, length = _SCRYPT
        key = hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, dklen=length)
        found = json.loads(AESGCM(key).decrypt(iv, text + tag, None))
    except InvalidTag:
        raise ConfigError(f"{place}: wrong passphrase, or damaged") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{place}: not an encrypted configuration: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: holds no JSON object")
    return found


def read_peers(folder: Path) -> list[StockPeer]:
    """The peers of `peers.json`, without the friend that stock daemons enter unasked. Raises `ConfigError`."""
    file = folder / "peers.json"
    document = _document(file)
    if document is None:
        return []
    if not isinstance(document, list) or len(document) > MAX_PEERS:
        raise ConfigError(f"{file}: no array of at most {MAX_PEERS} peers")
    found = [_stock_peer(each) for each in document if isinstance(each, dict) and _is_id(each.get("peerId"))]
    return [each for each in found if not _was_seeded(each.peer)]


@dataclass(frozen=True, slots=True)
class StockMessages:
    """Rows of `messages.db`: how many, when the first was logged, and all of them, oldest first, some at a time."""

    count: int
    oldest: int
    pages: Iterator[list[MessageRecord]]


@contextmanager
def message_rows(folder: Path, after: int = 0) -> Iterator[StockMessages]:
    """The rows of `messages.db` behind a row; none when there is no such file.

    Raises `ConfigError` for a file that is damaged or something else.
    """
    file = folder / "messages.db"
    if not file.exists():
        yield StockMessages(0, 0, iter(()))
        return
    with tempfile.TemporaryDirectory(prefix="mesh-import-") as copies:
        try:
            for name in ("messages.db", "messages.db-wal"):
                if (folder / name).exists():
                    shutil.copyfile(folder / name, Path(copies) / name)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be copied: {error.strerror}") from None
        try:
            with closing(sqlite3.connect(Path(copies) / "messages.db")) as database:
                query = "SELECT count(*), min(timestamp) FROM messages WHERE id > ?"
                count, oldest = database.execute(query, (after,)).fetchone()
                yield StockMessages(count, _count(oldest), _rows(database, after))
        except sqlite3.Error as error:
            raise ConfigError(f"{file}: not the message log of a stock daemon: {error}") from None


def _rows(database: sqlite3.Connection, after: int) -> Iterator[list[MessageRecord]]:
    cursor = database.execute(
        "SELECT id, peer_id, direction, content, message_type, timestamp, peer_name, session_id, metadata "
        "FROM messages WHERE id > ? ORDER BY id",
        (after,),
    )
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> MessageRecord:
    number, peer, direction, content, kind, timestamp, name, session, metadata = row
    inbound = direction == "inbound"
    return MessageRecord(
        id=number,
        peer_id=str(peer)[:MAX_ID_CHARACTERS],
        direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
        content=str(content),
        message_type=str(kind or "chat")[:MAX_ID_CHARACTERS],
        timestamp=_count(timestamp),
        peer_name=None if name is None else str(name)[:MAX_NAME_CHARACTERS],
        session_id=None if session is None else str(session)[:MAX_ID_CHARACTERS],
        metadata=None if metadata is None else str(metadata),
        state=DeliveryState.STORED if inbound else DeliveryState.SENT,
        read=inbound,
    )


def _stock_peer(entry: Mapping[str, Any]) -> StockPeer:
    peer_id = entry["peerId"]
    name = _text(entry.get("name"), MAX_NAME_CHARACTERS)
    short = peer_id[:SHORT_NAME_CHARACTERS]
    given = "" if name in (short, f"{short}...") else name
    numbers: dict[str, Any] = {
        field: _count(entry.get(key))
        for field, key in (
            ("first_seen", "firstSeen"),
            ("last_seen", "lastSeen"),
            ("last_connected", "lastConnected"),
            ("last_disconnected", "lastDisconnected"),
            ("messages_sent", "messagesSent"),
            ("messages_received", "messagesReceived"),
            ("payments_sent", "paymentsSent"),
            ("payments_received", "paymentsReceived"),
            ("total_sats_sent", "totalSatsSent"),
            ("total_sats_received", "totalSatsReceived"),
        )
    }
    peer = TrackedPeer(
        peer_id=peer_id,
        name=name or f"{short}...",
        services=_texts(entry.get("services"), MAX_SERVICES, MAX_ID_CHARACTERS),
        multiaddrs=_texts(entry.get("multiaddrs"), MAX_ADDRESSES, 1024),
        notes=_text(entry.get("notes"), MAX_NOTES_CHARACTERS),
        tags=_texts(entry.get("tags"), MAX_TAGS, MAX_TAG_CHARACTERS),
        **numbers,
    )
    return StockPeer(peer, given)


def _was_seeded(peer: TrackedPeer) -> bool:
    untouched = not (peer.messages_sent or peer.messages_received or peer.notes or peer.last_connected)
    return peer.peer_id == SEEDED_FRIEND and untouched


def _document(file: Path) -> Any:
    try:
        if os.path.getsize(file) > MAX_FILE_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES} bytes")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: no JSON: {error}") from None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARACTERS


def _count(value: Any) -> int:
    """A number of JavaScript's as a count; anything else is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return 0
    return int(value)


def _text(value: Any, most: int) -> str:
    return _writable(value)[:most] if isinstance(value, str) else ""


def _texts(value: Any, most: int, most_characters: int) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_writable(each)[:most_characters] for each in value if isinstance(each, str) and each)[:most]


def _writable(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
