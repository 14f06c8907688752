"""The queue of what has to be told: one entry for each thing, growing pauses, a limit that spares what matters."""

from __future__ import annotations

import json

import pytest

from mesh.protocols.beam.outbox import (
    LONGEST_PAUSE_S,
    MAX_OPERATIONS,
    REGISTER_NAME,
    REGISTER_SERVICE,
    WITHDRAW,
    Operation,
    Outbox,
    read_operation,
)


def operation(
    subject: str = "a", kind: str = REGISTER_SERVICE, at: float = 100.0, id: str = "1"
) -> Operation:
    return Operation(id, kind, subject, at)


def test_a_newer_operation_takes_the_place_of_an_older_one() -> None:
    outbox = Outbox()
    outbox.add(operation(id="1"))
    outbox.add(operation(id="2"))
    assert [each.id for each in outbox] == ["2"]
    outbox.done(operation(id="1"))
    assert len(outbox) == 1, "what was replaced meanwhile is not done"
    outbox.done(operation(id="2"))
    assert len(outbox) == 0


def test_pauses_grow_up_to_five_minutes() -> None:
    outbox = Outbox()
    outbox.add(operation())
    now, pauses = 100.0, []
    for _ in range(12):
        [due] = outbox.due(now)
        outbox.failed(due, now)
        assert outbox.due(now) == []
        next_s = outbox.next_s()
        assert next_s is not None
        pauses.append(next_s - now)
        now = next_s
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_withdrawals_make_room_first_and_the_oldest_of_them() -> None:
    outbox = Outbox()
    outbox.add(operation("gone", WITHDRAW, at=5.0))
    outbox.add(operation("gone too", WITHDRAW, at=4.0))
    for number in range(MAX_OPERATIONS - 2):
        assert outbox.add(operation(f"{number}", REGISTER_NAME, at=1.0)) is None
    evicted = outbox.add(operation("one more"))
    assert evicted is not None
    assert evicted.subject == "gone too"
    assert len(outbox) == MAX_OPERATIONS
    assert outbox.due(100.0)[-1].subject == "gone"


def test_an_operation_is_kept_as_it_is() -> None:
    made = Outbox().failed(operation(), 107.0)
    assert read_operation(json.loads(json.dumps(made.document()))) == made


@pytest.mark.parametrize(
    "change", [{"operation": "Dance"}, {"created_at": "soon"}, {"id": None, "retry_count": {}}]
)
def test_a_damaged_one_is_none(change: dict[str, object]) -> None:
    assert read_operation(operation().document() | change) is None
    assert read_operation({}) is None
