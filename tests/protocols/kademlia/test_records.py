"""Value records: what is stored, what is dropped on read, who is corrected."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mesh.codecs.kademlia import ValueRecord
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import ipns, records
from mesh.protocols.kademlia.records import REPUBLISH_S, VALIDITY_S, StoredValue
from mesh.protocols.kademlia.validators import InvalidRecordError, Validators

NOW = 1_800_000_000.0
KEYS = [PrivateKey.from_seed(number.to_bytes(32, "big")) for number in range(1, 6)]
PEERS = [PeerId.from_public_key(key.public) for key in KEYS]
KEY = ipns.key_of(PEERS[0])
PUBLIC = Validators.public()


def record(sequence: int, expires: float = NOW + 3600) -> bytes:
    return ipns.create(KEYS[0], b"/ipfs/x", sequence, expires)


def held(value: bytes, received: float = NOW) -> StoredValue:
    return StoredValue(KEY, value, received)


def sent(value: bytes, key: bytes = KEY, time_received: str = "") -> ValueRecord:
    return ValueRecord(key=key, value=value, time_received=time_received)


def test_the_storer_sets_the_time() -> None:
    stored = records.admit(
        KEY, sent(record(1), time_received="1999-01-01T00:00:00Z"), None, PUBLIC, NOW + 0.5
    )
    assert stored == StoredValue(KEY, record(1), NOW + 0.5)
    assert stored.time_received == "2027-01-15T08:00:00.5Z"
    assert stored.to_message() == sent(record(1), time_received="2027-01-15T08:00:00.5Z")


@pytest.mark.parametrize(
    ("key", "message", "reason"),
    [
        (KEY, None, "no record"),
        (KEY, sent(record(1), key=KEY + b"x"), "not that of the message"),
        (b"", sent(record(1)), "not that of the message"),
        (b"/other/x", sent(b"value", key=b"/other/x"), "no validator"),
        (b"", sent(b"value", key=b""), "no key of the form"),
        (KEY, sent(b"junk"), "ipns"),
        (KEY, sent(record(1, NOW - 1)), "expired"),
    ],
)
def test_what_is_refused(key: bytes, message: ValueRecord | None, reason: str) -> None:
    with pytest.raises(InvalidRecordError, match=reason):
        records.admit(key, message, None, PUBLIC, NOW)


def test_worse_than_stored() -> None:
    stored = records.admit(KEY, sent(record(2)), None, PUBLIC, NOW)
    with pytest.raises(InvalidRecordError, match="better") as raised:
        records.admit(KEY, sent(record(1)), stored, PUBLIC, NOW)
    assert raised.value.clause == "kad-dht: select"
    assert records.admit(KEY, sent(record(2)), stored, PUBLIC, NOW + 9).received == NOW + 9
    assert records.admit(KEY, sent(record(3)), stored, PUBLIC, NOW).value == record(3)


def test_what_no_longer_counts_is_not_better() -> None:
    expired_by_itself = held(record(9, NOW - 1))
    too_old = held(record(9), NOW - VALIDITY_S - 1)
    for stored in (expired_by_itself, too_old, held(b"junk")):
        assert records.current(stored, PUBLIC, NOW) is None
        assert records.admit(KEY, sent(record(1)), stored, PUBLIC, NOW).value == record(1)


def test_age() -> None:
    assert records.current(None, PUBLIC, NOW) is None
    stored = held(record(1, NOW + 1e6))
    assert records.current(stored, PUBLIC, NOW + 48 * 3600) is stored
    assert records.current(stored, PUBLIC, NOW + 48 * 3600 + 1) is None
    assert records.expired(NOW, NOW - VALIDITY_S - 1)
    assert not records.expired(NOW, NOW - VALIDITY_S)
    assert records.republish_at(NOW) == NOW + REPUBLISH_S == NOW + 22 * 3600


def test_the_best_of_many() -> None:
    values = [record(1), b"junk", record(3), record(2), record(9, NOW - 1)]
    assert records.best(KEY, values, PUBLIC, NOW) == record(3)
    assert records.best(KEY, [b"junk", b""], PUBLIC, NOW) is None
    assert records.best(KEY, [], PUBLIC, NOW) is None


def test_a_value_equals_itself_whatever_the_validator() -> None:
    class Last:
        def validate(self, key: bytes, value: bytes, now: float) -> None: ...

        def select(self, key: bytes, values: Sequence[bytes]) -> int:
            return len(values) - 1

    assert records.better(b"/last/x", b"same", b"same", Last())
    assert not records.better(b"/last/x", b"one", b"two", Last())


def test_stale_holders() -> None:
    answers = {PEERS[0]: b"best", PEERS[1]: None, PEERS[2]: b"old", PEERS[4]: b"old"}
    assert records.stale_holders(PEERS[:4], answers, b"best") == (PEERS[1], PEERS[2])
    assert records.stale_holders(PEERS[:1], answers, b"best") == ()
