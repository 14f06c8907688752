"""The table of differences is complete and true: with Go's verdicts wanted, only crashes, paths and sizes stay."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.errors import UsageError
from mesh.protocols.lethean.compat import COMPAT, SAFE, Strictness, strictness
from tests.protocols.lethean.vectors import TABLE
from tests.protocols.lethean.verdicts import Case, cases

CASES = list(cases())
BY_PLACE = {(case.group, case.name): case for case in CASES}
ROWS: list[dict[str, Any]] = TABLE["recorded"]
NEVER_RELAXED = {"path", "size", "crash"}


def test_cases_are_told_apart() -> None:
    assert len(BY_PLACE) == len(CASES) > 140


def test_every_difference_is_in_the_table() -> None:
    differing = {
        place
        for place, case in BY_PLACE.items()
        if case.ours(SAFE) != case.go or case.ours(COMPAT) != case.go
    }
    assert differing == {(row["group"], row["name"]) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['group']}: {row['name']}")
def test_each_row_says_what_happens(row: dict[str, Any]) -> None:
    case: Case = BY_PLACE[row["group"], row["name"]]
    assert row["go"] == case.go
    assert row["ours"] == case.ours(SAFE)
    assert row["compat"] == case.ours(COMPAT)
    assert row["reason"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['group']}: {row['name']}")
def test_compat_is_gos_verdict_or_says_why_it_never_is(row: dict[str, Any]) -> None:
    if row["compat"] == row["go"]:
        switch = row["switch"]
        kept = Strictness(**{each.name: each.name == switch for each in fields(Strictness)})
        assert BY_PLACE[row["group"], row["name"]].ours(kept) == row["ours"], (
            "this switch makes the difference"
        )
    else:
        assert row["kept"] in NEVER_RELAXED
        assert row["compat"] == row["ours"]


def test_every_switch_is_explained() -> None:
    named = {row.get("switch") for row in [*ROWS, *TABLE["unrecorded"]]} - {None}
    assert named == {each.name for each in fields(Strictness)}
    source = "".join(path.read_text() for path in Path(mesh.__file__).parent.rglob("lethean/*.py"))
    assert named == set(re.findall(r"strictness\.(\w+)", source)), (
        "a switch that nothing asks makes no difference"
    )
    assert strictness(True) is COMPAT
    assert strictness(False) is SAFE
    assert all(getattr(SAFE, each.name) and not getattr(COMPAT, each.name) for each in fields(Strictness))


def test_gos_verdicts_are_not_promised_without_what_they_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert strictness(False) is SAFE
    with pytest.raises(UsageError, match=r"mesh\[zstd\]"):
        strictness(True)
