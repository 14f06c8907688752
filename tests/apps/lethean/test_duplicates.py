"""The table of messages that were seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.apps.lethean.duplicates import CLEAN_EVERY_S, REMEMBERED_S, Duplicates
from mesh.errors import StorageError

NOW = 1_800_000_000.0


def test_an_id_is_new_once_until_it_is_forgotten() -> None:
    seen = Duplicates(None)
    assert seen.is_new("a", NOW)
    assert not seen.is_new("a", NOW + REMEMBERED_S - 0.001)
    assert seen.is_new("a", NOW + REMEMBERED_S)
    assert not seen.is_new("a", NOW + REMEMBERED_S + 1)
    seen.close()


def test_the_empty_id_is_an_id() -> None:
    seen = Duplicates(None)
    assert seen.is_new("", NOW)
    assert not seen.is_new("", NOW)
    seen.close()


def test_the_file_outlives_the_node(tmp_path: Path) -> None:
    first = Duplicates(tmp_path / "seen.sqlite")
    assert first.is_new("a", NOW)
    first.close()
    second = Duplicates(tmp_path / "seen.sqlite")
    assert not second.is_new("a", NOW + 1)
    assert second.is_new("b", NOW + 1)
    second.close()


def test_old_ids_leave_the_table() -> None:
    seen = Duplicates(None)
    for number in range(100):
        assert seen.is_new(str(number), NOW)
    assert seen.is_new("later", NOW + REMEMBERED_S + CLEAN_EVERY_S)
    assert len(seen) == 1
    seen.close()


def test_of_too_many_those_go_that_would_go_first() -> None:
    seen = Duplicates(None, limit=10)
    for number in range(20):
        assert seen.is_new(str(number), NOW + number)
    assert not seen.is_new("19", NOW + CLEAN_EVERY_S)
    assert len(seen) == 10
    assert not seen.is_new("10", NOW + CLEAN_EVERY_S)
    assert seen.is_new("9", NOW + CLEAN_EVERY_S)
    seen.close()


def test_a_second_node_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first = Duplicates(tmp_path / "seen.sqlite")
    assert first.is_new("a", NOW)
    with pytest.raises(StorageError, match="another program"):
        Duplicates(tmp_path / "seen.sqlite")
    first.close()
