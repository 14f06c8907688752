"""A replica is killed fifty times and loses nothing; the books notice when one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.soak.crdt import Books, markdown, run


@pytest.mark.timeout(600)
def test_fifty_sudden_deaths(tmp_path: Path) -> None:
    books = run(50, 7, tmp_path)
    assert books.wrong == []
    assert (books.kills, books.proofs) == (50, 1)
    assert books.changes > 0
    assert "Nothing acknowledged was lost" in markdown(books, 7, 1.0)


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
    books.take({"what": "proof", "whole": False})
    assert len(books.wrong) == 3
    assert "FAILED" in markdown(books, 7, 1.0)
