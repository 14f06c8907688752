"""A stock daemon's folder taken over, and left as it was."""

from __future__ import annotations

import copy
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.agent.import_folder import import_messages, import_peers, translate
from mesh.apps.agent.records import DeliveryState
from mesh.apps.agent.stock_folder import (
    SEEDED_FRIEND,
    key_document,
    read_config,
    read_key,
    read_peers,
    unlocked,
)
from mesh.apps.agent.store import AgentStore, address_book, message_log, message_pages
from mesh.apps.agent.store.message_pages import PageQuery
from mesh.errors import ConfigError
from mesh.identity.peer_id import PeerId
from tests.apps.agent.store.messages import ALICE, START, message
from tests.vectors import load

STOCK_LOG = """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, peer_id TEXT NOT NULL, peer_name TEXT,
        direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')), content TEXT NOT NULL,
        message_type TEXT DEFAULT 'chat', timestamp INTEGER NOT NULL, session_id TEXT, metadata TEXT
    )
"""
FILES: dict[str, Any] = load("files", "bsv")
KEYS: Any = load("key_files", "bsv")
PEER = FILES["peers.json (one entry)"]


def recorded_rows() -> list[dict[str, Any]]:
    """The messages that a stock daemon answered with, oldest first."""
    answers: Any = load("http", "bsv")["after_exchange_between_two_daemons"]
    found = next(each["response"] for each in answers if each["request"]["path"] == "/messages")
    rows: list[dict[str, Any]] = found["messages"][::-1]
    return rows


def write_log(folder: Path, rows: list[dict[str, Any]]) -> sqlite3.Connection:
    """A stock daemon's log that is still open, its last rows in the write-ahead log alone."""
    database = sqlite3.connect(folder / "messages.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(STOCK_LOG)
    fields = (
        "id",
        "peerId",
        "peerName",
        "direction",
        "content",
        "messageType",
        "timestamp",
        "sessionId",
        "metadata",
    )
    for row in rows:
        database.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [row[each] for each in fields]
        )
    return database


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    folder = tmp_path / "stock"
    folder.mkdir()
    (folder / "peer-key.json").write_text(json.dumps(KEYS[0]["file"]))
    (folder / "config.json").write_text(json.dumps(FILES["config.json after PUT /config/name"]))
    seeded = {**PEER, "peerId": SEEDED_FRIEND, "name": "Moneo", "tags": ["friend", "openclaw-bot"]}
    untouched = {**seeded, "messagesSent": 0, "messagesReceived": 0, "lastConnected": 0}
    (folder / "peers.json").write_text(json.dumps([untouched, PEER, "nonsense", {"peerId": 5}]))
    return folder


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's digest and time of change."""
    return {
        each.name: (hashlib.sha256(each.read_bytes()).hexdigest(), each.stat().st_mtime_ns)
        for each in folder.iterdir()
    }


async def test_messages_come_over_row_for_row_and_the_folder_stays(stock: Path) -> None:
    rows = recorded_rows()
    database = write_log(stock, rows)
    assert (stock / "messages.db-wal").stat().st_size
    before = state_of(stock)
    async with AgentStore(None) as store:
        assert await import_messages(store, stock) == 7
        found = await store.read(lambda reader: message_pages.page(reader, PageQuery()))
        assert await import_messages(store, stock) == 0
        unread = (await store.read(message_log.figures)).unread
    assert state_of(stock) == before
    database.close()
    stock_fields = list(rows[0])
    assert [{name: each.document()[name] for name in stock_fields} for each in found.messages[::-1]] == rows
    assert {each.state for each in found.messages} == {DeliveryState.STORED, DeliveryState.SENT}
    assert unread == 0


async def test_what_is_new_since_is_added_behind(stock: Path) -> None:
    rows = recorded_rows()
    database = write_log(stock, rows[:4])
    async with AgentStore(None) as store:
        assert await import_messages(store, stock) == 4
        later = {**rows[4], "timestamp": rows[3]["timestamp"] + 5}
        database.execute(
            "INSERT INTO messages VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, NULL)",
            [later[each] for each in ("id", "peerId", "direction", "content", "messageType", "timestamp")],
        )
        assert await import_messages(store, stock) == 1
        found = await store.read(lambda reader: message_pages.page(reader, PageQuery(limit=2)))
    database.close()
    assert [each.id for each in found.messages] == [5, 4]


async def test_old_messages_come_before_those_that_are_there(stock: Path) -> None:
    database = write_log(stock, recorded_rows())
    database.close()
    async with AgentStore(None) as store:
        newest = 2_000_000_000_000
        await store.write(lambda writer: message_log.add(writer, message("beta of ours", ALICE, at=newest)))
        assert await import_messages(store, stock) == 7
        by_time = await store.read(lambda reader: message_pages.page(reader, PageQuery()))
        by_words = await store.read(lambda reader: message_pages.page(reader, PageQuery(search="beta")))
        talks = await store.read(message_log.conversations)
    assert [each.id for each in by_time.messages] == [1, -1, -2, -3, -4, -5, -6, -7]
    assert [each.content for each in by_words.messages] == ["beta of ours", "reply from beta"]
    assert talks[0].last_message == "beta of ours"


async def test_peers_come_over_without_the_friend_that_was_entered_unasked(stock: Path) -> None:
    async with AgentStore(None) as store:
        assert await import_peers(store, stock) == 1
        assert await import_peers(store, stock) == 0
        (peer,) = await store.read(address_book.peers)
    assert peer.document() == {**PEER, "isOnline": False}


async def test_a_friend_that_was_spoken_to_is_one(stock: Path) -> None:
    friend = {**PEER, "peerId": SEEDED_FRIEND, "name": "Moneo", "tags": ["friend"]}
    (stock / "peers.json").write_text(json.dumps([friend]))
    (found,) = read_peers(stock)
    assert (found.given_name, found.peer.tags) == ("Moneo", ("friend",))


async def test_a_peers_own_entry_wins_over_the_folders(stock: Path) -> None:
    async with AgentStore(None) as store:
        await store.write(lambda writer: address_book.set_name(writer, PEER["peerId"], "Mine", START))
        assert await import_peers(store, stock) == 0
        (peer,) = await store.read(address_book.peers)
    assert (peer.name, peer.messages_sent) == ("Mine", 0)


# -- key and settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", KEYS, ids=lambda case: case["peerId"][-8:])
def test_keys_are_those_of_the_vectors(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "peer-key.json").write_text(json.dumps(case["file"]))
    key = read_key(tmp_path)
    assert key is not None
    assert str(PeerId.from_public_key(key.public)) == case["peerId"]
    assert json.loads(key_document(key, case["file"]["createdAt"])) == case["file"]


def test_a_key_of_96_bytes_is_taken(tmp_path: Path) -> None:
    case = KEYS[1]
    numbers = case["file"]["privateKey"]
    longer = [8, 1, 18, 96, *numbers[4:], *numbers[36:]]
    (tmp_path / "peer-key.json").write_text(json.dumps({"privateKey": longer}))
    key = read_key(tmp_path)
    assert key is not None
    assert str(PeerId.from_public_key(key.public)) == case["peerId"]


SEED = list(range(32))


@pytest.mark.parametrize(
    "document",
    [
        {"privateKey": SEED},
        {"privateKey": SEED * 2},
        {"privateKey": [8, 1, 18, 32, *SEED]},
        {"privateKey": [8, 1, 18, 64, *SEED, *SEED]},
        {"privateKey": "text"},
        {"privateKey": [256]},
        {"privateKey": [True]},
        {},
        [],
        None,
    ],
)
def test_a_bad_key_stops_with_an_error(document: Any, tmp_path: Path) -> None:
    (tmp_path / "peer-key.json").write_text("{" if document is None else json.dumps(document))
    with pytest.raises(ConfigError, match="peer-key"):
        read_key(tmp_path)


def test_without_files_there_is_nothing(tmp_path: Path) -> None:
    assert read_key(tmp_path) is None
    assert read_config(tmp_path) == {}
    assert read_peers(tmp_path) == []


def test_settings_of_the_recorded_file() -> None:
    found = translate(FILES["config.json after PUT /config/name"])
    config = FILES["config.json after PUT /config/name"]
    assert found.settings["agent.enabled"] is True
    assert found.settings["network.listen"] == (
        "/ip4/0.0.0.0/tcp/4711",
        "/ip4/0.0.0.0/udp/4711/quic-v1",
        "/ip4/0.0.0.0/tcp/4712/ws",
    )
    assert found.settings["network.bootstrap"] == tuple(config["bootstrapPeers"])
    assert found.settings["agent.name"] == "Alpha2"
    assert found.settings["agent.health_interval_s"] == 5.0
    assert found.settings["agent.status_interval_s"] == 10.0
    assert found.settings["agent.gateway_url"] == "http://127.0.0.1:18789"
    assert found.gateway_token == "testtoken"
    assert "testtoken" not in repr((found.settings, found.notes))


def test_aliases_of_the_readme_and_what_is_left() -> None:
    relay = "/ip4/192.0.2.1/tcp/4001/p2p/" + ALICE
    found = translate(
        {
            "gatewayUrl": "http://localhost:3457",
            "gatewayToken": "t0ken",
            "relayAddress": relay,
            "maxConnections": 50,
            "port": "4001",
            "name": "two\nlines",
            "bsvPrivateKey": "ab" * 32,
            "walletPath": "x",
            "gateway": {"url": "http://other", "enabled": False},
        }
    )
    assert found.settings["agent.gateway_url"] == "http://localhost:3457"
    assert found.gateway_token == "t0ken"
    assert found.settings["relay.relays"] == (relay,)
    assert found.settings["network.max_connections"] == 50
    assert "agent.name" not in found.settings
    assert "ab" * 32 not in repr(found)
    assert [note.split()[0] for note in found.notes] == ["port", "name", "bsvPrivateKey", "walletPath"]


def test_an_encrypted_configuration_opens_with_its_passphrase() -> None:
    vector = load("encrypted_config", "bsv")
    found = unlocked(vector["file"], vector["passphrase"], "file")
    assert found == json.loads(vector["plaintext"])
    with pytest.raises(ConfigError, match="passphrase"):
        unlocked(vector["file"], "wrong", "file")
    for name, value in (("version", 2), ("salt", "zz"), ("iv", None), ("authTag", "00" * 16)):
        damaged = copy.deepcopy(vector["file"])
        damaged[name] = value
        with pytest.raises(ConfigError):
            unlocked(damaged, vector["passphrase"], "file")


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\xff" * 4096, b"nonsense" * 1000, b""])
async def test_a_damaged_log_is_an_error_or_empty_and_adds_nothing(stock: Path, content: bytes) -> None:
    (stock / "messages.db").write_bytes(content)
    async with AgentStore(None) as store:
        with pytest.raises(ConfigError, match=r"messages\.db"):
            await import_messages(store, stock)
        assert (await store.read(message_log.figures)).inbound == 0
