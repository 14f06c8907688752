"""A replica is killed fifty times and loses nothing; the books notice when one does."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tools.soak.crdt import Books, markdown


@pytest.mark.timeout(600)
def test_fifty_sudden_deaths() -> None:
    """In a process of its own: it forks, which a process with threads must not."""
    words = [sys.executable, "-m", "tools.soak.crdt", "--kills", "50", "--seed", "7"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert "Nothing acknowledged was lost" in ended.stdout
    found = dict(re.findall(r"^\| ([a-z ,]+?) \| ([\d,]+) \|$", ended.stdout, re.MULTILINE))
    assert found["kills"] == "50"
    assert found["changes acknowledged"] != "0"
    assert found["times that all blocks were merged again and gave the same rows"] == "1"


def test_what_is_lost_is_noticed() -> None:
    books = Books()
    for line in (
        {"what": "ready", "mapping": {}},
        {"what": "begun", "changes": {"/a": "1", "/b": "1"}},
        {"what": "done", "changes": {"/a": "1", "/b": "1"}},
        {"what": "begun", "changes": {"/a": "2"}},
    ):
        books.take(line)
    books.take({"what": "ready", "mapping": {"/a": "2", "/b": "1"}})
    assert not books.wrong
    books.take({"what": "ready", "mapping": {"/a": "1"}})
    books.take({"what": "proof", "fault": "the rows are not those of the blocks"})
    assert len(books.wrong) == 3
    assert "FAILED" in markdown(books, 7, 1.0)
