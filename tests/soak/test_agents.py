"""Agents whose processes are killed lose nothing and do nothing twice: the long run of tools/soak, in short."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mesh.apps.agent.delivery.tables import STATEMENTS as DELIVERY
from mesh.apps.agent.store.schema import STATEMENTS as STORE
from tools.soak.agents.__main__ import main
from tools.soak.agents.target import TABLES
from tools.soak.agents.verdict import judge, markdown


@pytest.mark.timeout(600)
def test_a_short_run_with_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.md"
    arguments = [
        "--messages",
        "200",
        "--kill-every",
        "8",
        "--minutes",
        "5",
        "--seed",
        "5",
        "--report",
        str(report),
    ]
    status = main(arguments)
    assert report.read_text() in capsys.readouterr().out
    assert status == 0, report.read_text()


def left(folder: Path, count: int) -> tuple[Path, Path, Path]:
    """What three processes leave that did all they should."""
    files = tuple(folder / name for name in ("sender.db", "receiver.db", "target.sqlite"))
    sent, came, waked = map(sqlite3.connect, files)
    for database in (sent, came):
        for statement in (*STORE, *DELIVERY):
            database.execute(statement)
    waked.executescript(TABLES)
    for number in range(count):
        name = f"{number}-m"
        sent.execute(
            "INSERT INTO outbox (peer_id, message_id, body, size, digest, address, answers, queued_ms, state) "
            "VALUES ('bob', ?, '', 1, '', '', '', 1, 'resumed')",
            (name,),
        )
        sent.executemany(
            "INSERT INTO receipts VALUES ('bob', ?, ?, '', 1)", [(name, state) for state in (1, 2, 3, 4)]
        )
        came.execute(
            "INSERT INTO messages (peer_id, direction, content, message_type, timestamp, message_id) "
            "VALUES ('ann', 'inbound', ?, 'text', 1, ?)",
            (f"message {number}", name),
        )
        came.execute(
            "INSERT INTO inbox (peer_id, message_id, size, digest, proven, stored_ms, state) "
            "VALUES ('ann', ?, 1, '', 1, 1, 'resumed')",
            (name,),
        )
        waked.execute("INSERT INTO effects VALUES (?, 1)", (name,))
        waked.execute("INSERT INTO confirmations VALUES (?, '', '', 1, 1)", (name,))
    for database in (sent, came, waked):
        database.commit()
        database.close()
    return files[0], files[1], files[2]


def test_what_is_as_it_should_be(tmp_path: Path) -> None:
    findings = judge(*left(tmp_path, 3), 3)
    assert [finding for finding in findings if not finding.holds] == []
    assert "**Nothing lost, nothing twice.**" in markdown(findings, [("seconds", 1)], "x")


@pytest.mark.parametrize(
    ("file", "statement", "rule"),
    [
        (0, "DELETE FROM outbox WHERE message_id = '1-m'", "messages queued"),
        (0, "UPDATE outbox SET state = 'dead' WHERE message_id = '1-m'", "dead letters"),
        (0, "DELETE FROM receipts WHERE state = 2 AND message_id = '1-m'", "receipts of delivered"),
        (1, "DELETE FROM inbox WHERE message_id = '1-m'", "proven to be stored, and not there"),
        (1, "UPDATE messages SET content = 'message 7' WHERE message_id = '1-m'", "in the order"),
        (1, "INSERT INTO messages SELECT 9, peer_id, null, direction, 'message 3', message_type, 1, null, null, "
            "message_id, 0, state, 0 FROM messages WHERE id = 1", "rows in the log"),
        (2, "UPDATE effects SET count = 2 WHERE message_id = '1-m'", "messages with two effects"),
        (2, "DELETE FROM effects WHERE message_id = '1-m'", "messages with an effect"),
        (2, "UPDATE confirmations SET tried = 0 WHERE message_id = '1-m'", "resumed without"),
    ],
)  # fmt: skip
def test_what_is_not_is_found(tmp_path: Path, file: int, statement: str, rule: str) -> None:
    files = left(tmp_path, 3)
    database = sqlite3.connect(files[file])
    database.execute(statement)
    database.commit()
    database.close()
    findings = judge(*files, 3)
    assert any(rule in finding.rule and not finding.holds for finding in findings)
    assert "**FAILED.**" in markdown(findings, [], "x")
