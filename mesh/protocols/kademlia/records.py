"""Rules for value records: what may be stored, how long it counts, who needs a better one (libp2p digest, section 14).

Times are Unix seconds. A value counts for 48 hours after its storer received it; who published it does so again after 22.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.kademlia import ValueRecord
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import rfc3339
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.protocols.kademlia.validators import Validator

VALIDITY_S: Final = 48 * 3600.0
REPUBLISH_S: Final = 22 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A value as it is kept: its whole key, and when we received it."""

    key: bytes
    value: bytes
    received: float

    @property
    def time_received(self) -> str:
        """The time of receipt as RFC 3339 text with nanoseconds."""
        return rfc3339.write(rfc3339.from_seconds(self.received)).decode()

    def to_message(self) -> ValueRecord:
        """The record of an answer, with our time of receipt."""
        return ValueRecord(key=self.key, value=self.value, time_received=self.time_received)


def expired(received: float, now: float) -> bool:
    """Whether a value is too old to be given away; also one that was received by a clock two days ahead of ours."""
    return not -VALIDITY_S <= now - received <= VALIDITY_S


def current(stored: StoredValue | None, validators: Validator, now: float) -> StoredValue | None:
    """What may be answered to GET_VALUE: None for an expired value and for one its validator no longer accepts.

    To be asked on each read; what it drops can be deleted.
    """
    if stored is None or expired(stored.received, now):
        return None
    try:
        validators.validate(stored.key, stored.value, now)
    except InvalidRecordError:
        return None
    return stored


def check(key: bytes, record: ValueRecord | None, validators: Validator, now: float) -> bytes:
    """The value of a record that arrived under `key`, in a PUT_VALUE or in an answer to GET_VALUE.

    Raises InvalidRecordError when there is no record, when it bears another key, and when it is not valid.
    """
    if record is None:
        raise InvalidRecordError("no record", "kad-dht: PUT_VALUE")
    if record.key != key:
        raise InvalidRecordError("the record's key is not that of the message", "kad-dht: PUT_VALUE")
    validators.validate(key, record.value, now)
    return record.value


def admit(
    key: bytes, record: ValueRecord | None, stored: StoredValue | None, validators: Validator, now: float
) -> StoredValue:
    """What to store after a PUT_VALUE, received `now` whatever time the sender wrote; the answer echoes it.

    `stored` is what is held under the key; it does not count when `current` would drop it. Raises InvalidRecordError as
    `check` does, and when `stored` is better; an equal one is received anew.
    """
    value = check(key, record, validators, now)
    held = current(stored, validators, now)
    if held is not None and not better(key, value, held.value, validators):
        raise InvalidRecordError("a better value is stored", "kad-dht: select")
    return StoredValue(key, value, now)


def better(key: bytes, value: bytes, than: bytes, validators: Validator) -> bool:
    """Whether a valid value is as good as another one or better."""
    return value == than or validators.select(key, (value, than)) == 0


def best(key: bytes, values: Iterable[bytes], validators: Validator, now: float) -> bytes | None:
    """The best of the values that are valid; None when none is."""
    valid: list[bytes] = []
    for value in dict.fromkeys(values):
        try:
            validators.validate(key, value, now)
        except InvalidRecordError:
            continue
        valid.append(value)
    return valid[validators.select(key, valid)] if valid else None


def stale_holders(
    closest: Sequence[PeerId], held: Mapping[PeerId, bytes | None], value: bytes
) -> tuple[PeerId, ...]:
    """Who of the closest peers should be sent `value`, the best one found, in their order.

    `held` has what each peer answered, None for nothing; a peer that is not in it did not answer and is left alone.
    """
    return tuple(peer for peer in closest if peer in held and held[peer] != value)


def contradictions(
    held: Mapping[PeerId, bytes | None],
    refused: Collection[PeerId],
    acknowledged: Mapping[PeerId, bytes],
    value: bytes | None,
) -> dict[PeerId, bool]:
    """Whose answers agree with the others' (True), and whose contradict them or itself.

    ``held`` has what each peer answered, None for nothing; ``refused`` gave a value that is none. Who ``acknowledged``
    the best ``value`` once, and does not give it, contradicts itself; a newcomer that holds nothing yet does not.
    """
    found = {peer: True for peer, given in held.items() if value is not None and given == value}
    found |= {
        peer: False
        for peer, given in held.items()
        if value is not None and given != value and acknowledged.get(peer) == value
    }
    return found | dict.fromkeys(refused, False)


def republish_at(published: float) -> float:
    """When a value of ours is to be put again."""
    return published + REPUBLISH_S
