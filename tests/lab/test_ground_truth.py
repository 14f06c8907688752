"""The table that the diagnosis is scored against is as large and as varied as is asked of it."""

from __future__ import annotations

from collections import Counter, defaultdict

from mesh.lab import KINDS
from tests.lab.ground_truth import read_table

TRUTH = read_table()
SYMMETRIC = ("own-symmetric-nat", "peer-symmetric-nat")


def test_enough_cells_causes_and_settings() -> None:
    settings = defaultdict(set)
    for each in TRUTH.cells:
        settings[each.cause].add(each.setting)
    assert len(TRUTH.cells) >= 60
    assert sum(each.cause == "healthy" for each in TRUTH.cells) == 10
    assert len([cause for cause, several in settings.items() if len(several) >= 3]) >= 12
    assert sum(map(len, settings.values())) == len(TRUTH.cells), "two cells are the same laboratory"


def test_every_word_is_explained_and_used() -> None:
    assert {each.cause for each in TRUTH.cells} == set(TRUTH.causes)
    assert {fault for each in TRUTH.cells for fault in each.faults} == set(TRUTH.faults)
    assert all(each.a in KINDS and (each.b in KINDS or not each.b) for each in TRUTH.cells)
    assert max(Counter(each.id for each in TRUTH.cells).values()) == 1


def test_what_is_curable_has_a_goal() -> None:
    assert all(bool(each.goal) is each.curable for each in TRUTH.cells)


def test_a_symmetric_nat_is_curable_only_where_a_port_can_be_forwarded() -> None:
    symmetric = [each for each in TRUTH.cells if each.cause in SYMMETRIC]
    for each in symmetric:
        own_router = each.a in ("symmetric", "port-restricted", "port-changed")
        assert each.curable is (own_router and "not-mine" not in each.faults)
    assert {each.curable for each in symmetric} == {True, False}
