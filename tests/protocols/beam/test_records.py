"""Records of services and names: what is taken, what is refused, whose place a record takes."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs import beam as codec
from mesh.codecs.beam import MAX_RECORD_BYTES
from mesh.codecs.envelope import Envelope
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.envelope import seal
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam import name_record, service_record
from mesh.protocols.beam.name_record import contested, open_name, sign_name, supersedes
from mesh.protocols.beam.owner_pins import OwnerPins, Trust
from mesh.protocols.beam.record_keys import name_key, read_key, read_target, service_key
from mesh.protocols.beam.record_rules import check_value, select_value
from mesh.protocols.beam.service_record import open_service, sign_service
from tests.protocols.beam.signers import ADDRESS, KEYS, NOW_MS, NOW_S, PEERS, name, service, transfer


def test_a_service_is_read_as_it_was_signed() -> None:
    made = service(metadata={"version": "1.0.0", "capabilities": ["http", "ws"]})
    read = open_service(made.envelope)
    assert read == made
    assert read.document()["endpoints"] == [str(ADDRESS)]
    assert read.document()["metadata"] == {"version": "1.0.0", "capabilities": ["http", "ws"]}
    assert read.counts(NOW_S)
    assert read.counts(NOW_S + 3599)
    assert not read.counts(NOW_S + 3600)
    assert not read.counts(NOW_S - 301)


def test_a_service_is_signed_by_its_provider() -> None:
    with pytest.raises(UsageError):
        sign_service(KEYS[1], replace(service(0)))
    payload = Envelope.decode(service(0).envelope).payload
    forged = seal(KEYS[1], service_record.DOMAIN, service_record.PAYLOAD_TYPE, payload)
    with pytest.raises(Malformed, match="signed by"):
        open_service(forged)


def test_a_record_of_another_domain_does_not_count() -> None:
    payload = Envelope.decode(service(0).envelope).payload
    with pytest.raises(Malformed, match="domain"):
        open_service(seal(KEYS[0], "beam-gossip", service_record.PAYLOAD_TYPE, payload))


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_another_record(at: int, change: int) -> None:
    whole = service(metadata={"a": 1})
    data = bytearray(whole.envelope)
    data[at % len(data)] ^= change
    with contextlib.suppress(DecodeError):
        assert open_service(bytes(data)) == whole


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(Malformed, match="at most"):
        open_service(bytes(MAX_RECORD_BYTES + 1))
    with pytest.raises(Malformed, match="at most"):
        open_name(bytes(MAX_RECORD_BYTES + 1))
    with pytest.raises(UsageError, match="metadata"):
        service(metadata={"text": "x" * 5000})
    with pytest.raises(UsageError, match="endpoints"):
        service(endpoints=tuple(Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{port}") for port in range(1, 18)))
    with pytest.raises(UsageError, match="ttl"):
        service(ttl_s=48 * 3600 + 1)


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff", b"[" * 4000, b'{"a":NaN'])
def test_metadata_is_an_object(data: bytes) -> None:
    message = codec.ServiceRecord.decode(Envelope.decode(service().envelope).payload)
    message.metadata = data
    made = seal(KEYS[0], service_record.DOMAIN, service_record.PAYLOAD_TYPE, message.encode())
    with pytest.raises(Malformed, match="metadata"):
        open_service(made)


@pytest.mark.parametrize(
    ("text", "service_id", "label"),
    [
        ("myapp", "myapp.local", "myapp"),
        ("MyApp.local", "myapp.local", "myapp"),
        ("db.myapp.local", "db.myapp", ""),
    ],
)
def test_what_people_type(text: str, service_id: str, label: str) -> None:
    assert read_target(text) == (service_id, label, None)
    assert read_target(f"{text}.{PEERS[0]}") == (service_id, label, PEERS[0])


@pytest.mark.parametrize(
    "text", ["", "ab", "www", "my--app", "-app", "app-", "x" * 64, "my_app", "a/b", "app é"]
)
def test_names_that_break_the_rules(text: str) -> None:
    with pytest.raises(UsageError):
        read_target(text)


@pytest.mark.parametrize(
    "key",
    [
        b"/beam/svc/",
        b"/beam/svc/A",
        b"/beam/name/www",
        b"/beam/other/x",
        b"/pk/x",
        b"/beam/svc/a/b",
        b"/beam/svc/a/b/c",
    ],
)
def test_keys_that_nothing_stands_under(key: bytes) -> None:
    with pytest.raises(DecodeError):
        read_key(key)


def test_a_value_stands_under_its_own_key() -> None:
    made = service()
    check_value(service_key("myapp.local"), made.envelope, NOW_S)
    check_value(service_key("myapp.local", PEERS[0]), made.envelope, NOW_S)
    check_value(name_key("myapp"), name().envelope, NOW_S)
    for key in (service_key("other.local"), service_key("myapp.local", PEERS[1]), name_key("myapp")):
        with pytest.raises(DecodeError):
            check_value(key, made.envelope, NOW_S)
    with pytest.raises(DecodeError):
        check_value(name_key("other"), name().envelope, NOW_S)
    with pytest.raises(Malformed, match="expired"):
        check_value(service_key("myapp.local"), made.envelope, NOW_S + 3600)


def test_the_newest_service_is_selected_and_a_withdrawn_one_gives_way() -> None:
    key = service_key("myapp.local")
    old, new = service(0, 1), service(0, 2)
    assert select_value(key, [old.envelope, new.envelope]) == 1
    assert select_value(key, [new.envelope, old.envelope]) == 0
    gone, other = service(0, 3, withdrawn=True), service(1, 1)
    assert select_value(key, [gone.envelope, new.envelope]) == 0
    assert select_value(key, [gone.envelope, other.envelope]) == 1
    with pytest.raises(DecodeError):
        select_value(key, [b"", b"x"])


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_name_is_read_as_it_was_signed() -> None:
    made = name(addresses=(ADDRESS,), description="the app", tags=("a", "b"), providers=(PEERS[1],))
    assert open_name(made.envelope) == made
    assert made.admits(PEERS[0])
    assert made.admits(PEERS[1])
    assert not made.admits(PEERS[2])


def test_nobody_takes_a_name_from_its_owner() -> None:
    held, thief = name(0, 1), name(1, 99, created_ms=0, updated_ms=NOW_MS + 1000)
    assert not supersedes(thief, held)
    key = name_key("myapp")
    assert select_value(key, [thief.envelope, held.envelope]) == 1
    assert select_value(key, [name(0, 2).envelope, held.envelope]) == 0
    assert contested([thief, held]) == tuple(sorted((PEERS[0], PEERS[1])))


def test_a_transfer_gives_the_name_on() -> None:
    held = name(0, 3)
    given = name(1, 4, transfers=(transfer(held, 1),))
    assert supersedes(given, held)
    again = name(0, 9)
    assert not supersedes(again, given), "who gave it away cannot take it back"
    third = name(2, 5, transfers=(*given.transfers, transfer(given, 2)))
    assert supersedes(third, held)
    assert supersedes(third, given)
    assert contested([held, given, third]) == ()


def test_a_transfer_of_others_gives_nothing() -> None:
    held = name(0, 3)
    theirs = transfer(name(1, 3), 2)
    with pytest.raises(Malformed, match="lead to"):
        name(1, 4, transfers=(transfer(held, 2),))
    assert not supersedes(name(2, 4, transfers=(theirs,)), held)
    with pytest.raises(Malformed, match="chain"):
        name(2, 4, transfers=(theirs, transfer(held, 2)))
    old = transfer(name(0, 1), 1)
    assert not supersedes(name(1, 4, transfers=(old,)), held), "the owner went on after that transfer"


def test_a_forged_transfer_is_refused() -> None:
    message = codec.NameTransfer.decode(Envelope.decode(transfer(name(0, 1), 1).envelope).payload)
    forged = seal(KEYS[1], name_record.TRANSFER_DOMAIN, name_record.TRANSFER_TYPE, message.encode())
    with pytest.raises(Malformed, match="not who signed"):
        name_record.open_transfer(forged)


def test_only_the_owner_gives_a_name_away_and_not_for_ever() -> None:
    with pytest.raises(UsageError, match="alone"):
        name_record.sign_transfer(KEYS[1], name(0), PEERS[2], NOW_MS)
    record = name(0)
    for number in range(8):
        there = (number + 1) % 2
        given = transfer(record, there)
        made = replace(
            record, owner=PEERS[there], version=record.version + 1, transfers=(*record.transfers, given)
        )
        record = sign_name(KEYS[there], made)
    with pytest.raises(UsageError, match="changed hands"):
        transfer(record, 1)


def test_a_revoked_name_is_free() -> None:
    gone = name(0, 5, revoked=True)
    assert supersedes(name(1, 1), gone)
    assert not supersedes(name(0, 4), gone)
    assert contested([gone, name(1, 1)]) == ()


def test_a_client_stays_with_the_owner_it_saw_first() -> None:
    pins, held, thief = OwnerPins(), name(0, 1), name(1, 9)
    assert pins.judge("myapp", []) == (Trust.SAME, None)
    assert pins.judge("myapp", [held]) == (Trust.FIRST, held)
    assert pins.judge("myapp", [held, thief]) == (Trust.CONTESTED, None)
    pins.pin("myapp", PEERS[0])
    newer = name(0, 2)
    assert pins.judge("myapp", [thief, held, newer]) == (Trust.SAME, newer)
    assert pins.judge("myapp", [thief]) == (Trust.STOLEN, None)
    given = name(1, 4, transfers=(transfer(newer, 1),))
    assert pins.judge("myapp", [newer, given]) == (Trust.TRANSFERRED, given)
    twice = name(2, 4, transfers=(transfer(newer, 2),))
    assert pins.judge("myapp", [given, twice]) == (Trust.CONTESTED, None)
    revoked = name(0, 6, revoked=True)
    assert pins.judge("myapp", [revoked, thief]) == (Trust.FIRST, thief)


@given(st.permutations(range(4)))
def test_the_right_owner_is_selected_in_whatever_order_records_come(order: list[int]) -> None:
    first = name(0, 1)
    second = name(1, 2, transfers=(transfer(first, 1),))
    third = name(2, 3, transfers=(*second.transfers, transfer(second, 2)))
    values = [first, name(0, 2), second, third]
    mixed = [values[index].envelope for index in order]
    assert mixed[select_value(name_key("myapp"), mixed)] in (third.envelope, values[1].envelope)
    line = [values[index] for index in order if index != 1]
    assert line[name_record.choose(line)] is third


def test_the_pins_have_a_limit() -> None:
    pins = OwnerPins()
    for number in itertools.islice(itertools.count(), 4097):
        pins.pin(f"name-{number}", PEERS[0])
    assert len(list(pins)) == 4096
    assert pins.owner("name-0") is None
    assert pins.forget("name-1")
    assert not pins.forget("name-1")
