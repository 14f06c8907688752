"""What may stand under a key of the DHT, and which of several values is to be kept (Beam digest, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.errors import Malformed
from mesh.protocols.beam.name_record import NameRecord, choose, open_name
from mesh.protocols.beam.record_keys import read_key
from mesh.protocols.beam.service_record import ServiceRecord, newer, open_service

Record = ServiceRecord | NameRecord


def open_record(key: bytes, value: bytes) -> Record:
    """The record of a value, verified, and of that key. Raises `DecodeError`."""
    named = read_key(key)
    if named.kind == "name":
        name = open_name(value)
        if name.name != named.subject:
            raise Malformed("key", None, f"the record is of the name {name.name}")
        return name
    service = open_service(value)
    if service.service_id != named.subject or named.peer not in (None, service.peer_id):
        raise Malformed("key", None, f"the record is of {service.service_id} at {service.peer_id}")
    return service


def check_value(key: bytes, value: bytes, now_s: float) -> Record:
    """The record, if it counts at an instant of Unix time. Raises `DecodeError`."""
    record = open_record(key, value)
    if not record.counts(now_s):
        raise Malformed("record", None, "it has expired, or comes from the future")
    return record


def select_value(key: bytes, values: Sequence[bytes]) -> int:
    """The index of the value to keep. Of services the newest, the first of equals; of names the last value unless another
    one has a right to its place, so that in (new, held) the held one stays. Values that cannot be read count as nothing.
    Raises `DecodeError` when none can."""
    records: list[tuple[int, Record]] = []
    for index, value in enumerate(values):
        try:
            records.append((index, open_record(key, value)))
        except ValueError:
            continue
    names = [(index, each) for index, each in records if isinstance(each, NameRecord)]
    if names:
        return names[choose([each for _, each in names])][0]
    services = [(index, each) for index, each in records if isinstance(each, ServiceRecord)]
    if not services:
        raise Malformed("record", None, "none of the values can be read")
    best = services[0]
    for each in services[1:]:
        if newer(each[1], best[1]):
            best = each
    return best[0]
