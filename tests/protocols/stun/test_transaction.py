"""When a request is sent again, what ends it, and whose answers it takes."""

from __future__ import annotations

from mesh.protocols.stun.message import write_error, write_request, write_success
from mesh.protocols.stun.transaction import Transaction

ID = bytes(range(12))
SERVER = ("11.2.1.2", 3478)
MAPPED = ("11.3.1.2", 4001)


def run_out(transaction: Transaction) -> tuple[list[float], float]:
    """When it sent, and when it gave up, with nobody answering."""
    sent: list[float] = []
    now = 0.0
    while (deadline := transaction.deadline()) is not None:
        now = deadline
        transaction.wake(now)
        if transaction.output(now) is not None:
            sent.append(now)
    return sent, now


def test_seven_requests_and_39_5_seconds() -> None:
    transaction = Transaction(ID, (SERVER,), 0.0)
    sent, ended = run_out(transaction)
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert ended == 39.5
    assert transaction.failed
    assert not transaction.receive(write_success(ID, MAPPED), SERVER)


def test_a_short_one_for_silence_that_tells() -> None:
    sent, ended = run_out(Transaction(ID, (SERVER,), 0.0, rto_s=0.1, most_sent=3))
    assert [round(each, 3) for each in sent] == [0, 0.1, 0.3]
    assert 0.3 < ended < 1.2


def test_the_answer_ends_it() -> None:
    transaction = Transaction(ID, (SERVER,), 0.0)
    assert transaction.output(0.0) == write_request(ID)
    assert transaction.output(0.4) is None
    assert transaction.receive(write_success(ID, MAPPED), SERVER)
    assert transaction.answer is not None
    assert transaction.answer.mapped == MAPPED
    assert transaction.over
    assert transaction.deadline() is None
    assert transaction.output(9.0) is None
    transaction.wake(99.0)
    assert not transaction.failed


def test_an_error_is_an_answer() -> None:
    transaction = Transaction(ID, (SERVER,), 0.0)
    assert transaction.receive(write_error(ID, 500, "Server Error"), SERVER)
    assert transaction.answer is not None
    assert transaction.answer.error == 500


def test_strangers_change_nothing() -> None:
    transaction = Transaction(ID, (SERVER,), 0.0)
    good = write_success(ID, MAPPED)
    for data, source in (
        (good, ("11.2.1.2", 3479)),
        (good, ("11.2.1.3", 3478)),
        (write_success(bytes(12), MAPPED), SERVER),
        (good[:-1], SERVER),
        (b"", SERVER),
        (write_request(ID), SERVER),
        (good[:30] + bytes([good[30] ^ 1]) + good[31:], SERVER),
    ):
        assert not transaction.receive(data, source)
    assert not transaction.over
    assert transaction.receive(good, SERVER)
