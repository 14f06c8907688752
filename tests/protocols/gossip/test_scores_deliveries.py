"""Records of messages are bounded in time and number."""

from __future__ import annotations

from mesh.protocols.gossip.delivery_records import DeliveryRecords, Status


def test_one_is_known_for_between_once_and_twice_the_time() -> None:
    records: DeliveryRecords[str] = DeliveryRecords(0.0, ttl_s=10.0)
    records.of(b"early", 1.0).status = Status.VALID
    records.of(b"late", 9.0).status = Status.VALID
    assert records.of(b"early", 11.5).status is Status.VALID
    assert records.of(b"late", 19.5).status is Status.VALID
    assert records.of(b"early", 20.5).status is Status.UNKNOWN


def test_a_long_pause_forgets_all() -> None:
    records: DeliveryRecords[str] = DeliveryRecords(0.0, ttl_s=10.0)
    assert records.deadline() is None
    records.of(b"id", 1.0)
    assert records.deadline() == 10.0
    records.wake(1000.0)
    assert len(records) == 0
    assert records.deadline() is None
    records.of(b"id", 1000.0)
    assert records.deadline() == 1010.0


def test_the_number_is_bounded_and_the_newest_stay() -> None:
    records: DeliveryRecords[str] = DeliveryRecords(0.0, max_records=100)
    for number in range(1000):
        records.of(number.to_bytes(4, "big"), 0.0).status = Status.INVALID
        assert len(records) <= 100
    assert all(
        records.of(number.to_bytes(4, "big"), 0.0).status is Status.INVALID for number in range(950, 1000)
    )
