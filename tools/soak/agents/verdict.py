"""What the four left on disk, held against what has to be so."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.codecs.agent_delivery import State


@dataclass(frozen=True)
class Finding:
    """One thing that has to be so: what was found, and whether it is so."""

    rule: str
    found: str
    holds: bool


def judge(sender: Path, receiver: Path, target: Path, messages: int) -> list[Finding]:
    """Read the three databases; the processes have ended."""
    with closing(_open(sender)) as sent, closing(_open(receiver)) as came, closing(_open(target)) as waked:
        return [*_counts(sent, came, waked, messages), *_proofs(sent, came, waked, messages)]


def _counts(sent: Any, came: Any, waked: Any, messages: int) -> list[Finding]:
    queued = _ids(sent, "SELECT message_id FROM outbox ORDER BY number")
    inbox = _ids(came, "SELECT message_id FROM inbox ORDER BY number")
    logged = _ids(came, "SELECT message_id FROM messages WHERE direction = 'inbound' ORDER BY id")
    numbers = [
        int(text.removeprefix("message ")) for text in _ids(came, "SELECT content FROM messages ORDER BY id")
    ]
    doubled = _one(waked, "SELECT count(*) FROM effects WHERE count > 1")
    effects = set(_ids(waked, "SELECT message_id FROM effects"))
    return [
        _equal("messages queued at the sender", len(queued), messages),
        _equal("inbox rows, one each", (len(inbox), len(set(inbox))), (messages, messages)),
        _equal("rows in the log, one each", (len(logged), len(set(logged))), (messages, messages)),
        Finding(
            "in the order in which they were queued",
            f"{len(numbers)} in order",
            numbers == list(range(messages)),
        ),
        Finding(
            "the receiver has just those that were queued",
            f"{len(set(queued) ^ set(inbox))} differ",
            queued == inbox,
        ),
        _equal("messages with two effects", doubled, 0),
        _equal("messages with an effect", len(effects & set(queued)), messages),
    ]


def _proofs(sent: Any, came: Any, waked: Any, messages: int) -> list[Finding]:
    found = []
    inbox = set(_ids(came, "SELECT message_id FROM inbox"))
    for state in (State.STORED, State.DELIVERED, State.INVOKED, State.RESUMED):
        proven = set(_ids(sent, f"SELECT message_id FROM receipts WHERE state = {state:d}"))
        found.append(_equal(f"receipts of {state.name.lower()} at the sender", len(proven), messages))
        if state is State.STORED:
            found.append(_equal("proven to be stored, and not there", len(proven - inbox), 0))
        elif state is State.RESUMED:
            true = set(_ids(waked, "SELECT message_id FROM confirmations WHERE tried"))
            found.append(_equal("resumed without the target having said so", len(proven - true), 0))
    dead = _one(sent, "SELECT count(*) FROM outbox WHERE state = 'dead'")
    return [*found, _equal("dead letters", dead, 0)]


def figures(sender: Path, receiver: Path, target: Path) -> list[tuple[str, int]]:
    """What happened on the way."""
    with closing(_open(sender)) as sent, closing(_open(receiver)) as came, closing(_open(target)) as waked:
        return [
            ("messages offered again after a crash", _one(came, "SELECT sum(repeats) FROM inbox")),
            ("leases taken", _one(sent, "SELECT sum(attempts) FROM outbox")),
            ("exchanges that failed at a message", _one(sent, "SELECT sum(failures) FROM outbox")),
            ("wakes", _one(waked, "SELECT count(*) FROM calls")),
            ("calls of the target with a key that it knew", _one(waked, "SELECT sum(count - 1) FROM calls")),
            (
                "`resumed` calls beyond the first",
                _one(came, "SELECT sum(max(resumptions - 1, 0)) FROM inbox"),
            ),
        ]


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True)


def _ids(database: sqlite3.Connection, query: str) -> list[str]:
    return [text for (text,) in database.execute(query)]


def _one(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0] or 0)


def _equal(rule: str, found: object, wanted: object) -> Finding:
    return Finding(rule, str(found), found == wanted)


def markdown(findings: Sequence[Finding], numbers: Sequence[tuple[str, object]], heading: str) -> str:
    """The report."""
    good = all(finding.holds for finding in findings)
    lines = [
        f"# {heading}",
        "",
        "**Nothing lost, nothing twice.**" if good else "**FAILED.**",
        "",
        "| rule | found | |",
        "|---|---|---|",
    ]
    lines += [
        f"| {each.rule} | {each.found} | {'holds' if each.holds else '**BROKEN**'} |" for each in findings
    ]
    lines += ["", "| figure | |", "|---|---|", *(f"| {name} | {value} |" for name, value in numbers)]
    return "\n".join(lines) + "\n"
