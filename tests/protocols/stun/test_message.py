"""STUN messages against RFC 5769, and what odd ones are taken for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs import stun
from mesh.errors import DecodeError
from mesh.protocols.stun.message import (
    Answer,
    Request,
    answer_request,
    looks_like_stun,
    read_answer,
    read_request,
    write_error,
    write_request,
    write_success,
)
from tests.vectors import cases

ID = bytes(range(12))
VECTORS = cases("stun", "stun")


def raw(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    length = sum(4 + len(value) + -len(value) % 4 for _, value in attributes)
    return stun.Message(kind, length, ID, list(attributes)).encode()


def address(family: int, host: bytes, port: int = 5) -> bytes:
    return stun.Address(0, family, port, host).encode()


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_the_vectors_of_the_rfc(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["message"])
    assert looks_like_stun(data)
    if "mapped" not in case:
        request = read_request(data)
        assert request is not None
        assert request.transaction_id == data[8:20]
        assert request.unknown == (0x0024, 0x0006, 0x0008)
        assert read_answer(data) is None
        return
    unauthenticated = [each for each in stun.Message.decode(data).attributes if each[0] not in (8, 0x8028)]
    answer = read_answer(
        stun.Message(
            0x0101,
            sum(4 + len(value) + -len(value) % 4 for _, value in unauthenticated),
            data[8:20],
            unauthenticated,
        ).encode()
    )
    assert answer is not None
    assert answer.mapped == tuple(case["mapped"])
    assert answer.software == case["software"]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_a_changed_bit_breaks_the_fingerprint(case: dict[str, Any]) -> None:
    data = bytearray.fromhex(case["message"])
    data[25] ^= 1
    with pytest.raises(DecodeError, match="fingerprint"):
        (read_answer if "mapped" in case else read_request)(bytes(data))


def test_a_password_that_has_to_be_understood_is_not() -> None:
    with pytest.raises(DecodeError, match="0x0008"):
        read_answer(bytes.fromhex(VECTORS[1]["message"]))


@pytest.mark.parametrize("change", [(False, False), (True, True), (False, True), (True, False)])
def test_requests_are_read_as_written(change: tuple[bool, bool]) -> None:
    data = write_request(ID, change_address=change[0], change_port=change[1])
    assert looks_like_stun(data)
    assert read_request(data) == Request(ID, *change, ())


@given(
    st.ip_addresses().map(str),
    st.integers(0, 65535),
    st.ip_addresses().map(str),
    st.binary(min_size=12, max_size=12),
    st.booleans(),
)
def test_answers_are_read_as_written(host: str, port: int, other: str, identity: bytes, masked: bool) -> None:
    data = write_success(identity, (host, port), other=(other, 3479), origin=(other, 1), masked=masked)
    assert read_answer(data) == Answer(identity, (host, port), (other, 3479), (other, 1))
    assert read_request(data) is None


def test_errors_are_read_as_written() -> None:
    answer = read_answer(write_error(ID, 420, "Unknown Attribute", (3, 0x27)))
    assert answer == Answer(ID, error=420, reason="Unknown Attribute", unknown=(3, 0x27))
    assert read_answer(write_error(ID, 699, "")) == Answer(ID, error=699)


@pytest.mark.parametrize(
    "data",
    [
        raw(0x0101),
        raw(0x0111),
        raw(0x0101, (0x0020, address(1, bytes(16)))),
        raw(0x0101, (0x0020, address(2, bytes(4)))),
        raw(0x0101, (0x0020, b"\0")),
        raw(0x0101, (0x0020, address(9, bytes(4)))),
        raw(0x0101, (0x0020, address(1, bytes(4))), (0x7FFF, b"")),
        raw(0x0101, (0x8028, bytes(4)), (0x0020, address(1, bytes(4)))),
        raw(0x0101, (0x0020, address(1, bytes(4))))[:-1],
        stun.Message(0x0101, 0, ID, [(0x0020, address(1, bytes(4)))]).encode(),
    ],
    ids=range(10),
)
def test_answers_that_are_none(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_answer(data)


def test_the_old_form_of_an_address_will_do_and_the_masked_one_goes_first() -> None:
    old, masked = (0x0001, address(1, bytes([11, 0, 0, 1]))), write_success(ID, ("11.0.0.2", 7))
    assert read_answer(raw(0x0101, old)) == Answer(ID, ("11.0.0.1", 5))
    both = raw(0x0101, old, stun.Message.decode(masked).attributes[0])
    assert read_answer(both) == Answer(ID, ("11.0.0.2", 7))


def test_a_server_names_what_it_does_not_understand() -> None:
    sent = answer_request(bytes.fromhex(VECTORS[0]["message"]), lambda _request: b"never")
    assert sent is not None
    answer = read_answer(sent)
    assert answer is not None
    assert (answer.error, answer.unknown) == (420, (0x0024, 0x0006, 0x0008))
    assert answer_request(write_request(ID), lambda request: request.transaction_id) == ID
    assert answer_request(sent, lambda _request: b"never") is None
    assert answer_request(b"\0" * 30, lambda _request: b"never") is None


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_refused_in_order(data: bytes) -> None:
    for start in (b"", bytes.fromhex("010100082112a442") + ID):
        try:
            answer = read_answer(start + data)
        except DecodeError:
            continue
        assert answer is None or answer.mapped or answer.error or answer.reason is not None


def test_quic_is_not_taken_for_stun() -> None:
    assert not looks_like_stun(b"\x40" + bytes(30))
    assert not looks_like_stun(b"\xc0\0\0\0\x01" + bytes(30))
    assert not looks_like_stun(write_request(ID)[:19])
