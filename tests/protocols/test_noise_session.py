"""Transport records: sizes, borders, faults, and the end of the nonces."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mesh.codecs.noise import MAX_PLAINTEXT_BYTES, TAG_BYTES
from mesh.errors import UsageError
from mesh.identity.chacha20_poly1305 import NONCE
from mesh.protocols.noise import Session
from mesh.protocols.noise.symmetric import MAX_NONCE
from tests.protocols import flipped, framed

THERE, BACK = bytes([1]) * 32, bytes([2]) * 32


def pair(*, nonce: int = 0) -> tuple[Session, Session]:
    """Two ends; ``nonce`` is where the first one's sending starts."""
    return (
        Session(THERE, BACK, b"hash", send_nonce=nonce),
        Session(BACK, THERE, b"hash", receive_nonce=nonce),
    )


def record(plaintext: bytes, nonce: int = 0) -> bytes:
    """A record as the first end would send it, by means of the cipher alone."""
    return framed(ChaCha20Poly1305(THERE).encrypt(NONCE.pack(0, nonce), plaintext, None))


def receiver(nonce: int = 0) -> Session:
    return pair(nonce=nonce)[1]


def reason(session: Session) -> str:
    assert session.failure is not None
    assert session.failure.protocol == "/noise"
    assert session.partial_bytes == 0
    assert session.receive(record(b"more")) == []
    return str(session.failure)


def test_records_are_what_the_cipher_says() -> None:
    first, second = pair()
    assert b"".join(first.seal([b"one"])) == record(b"one")
    assert b"".join(first.seal([b"t", bytearray(b"w"), memoryview(b"o")])) == record(b"two", 1)
    assert second.receive(record(b"one") + record(b"two", 1)) == [b"one", b"two"]
    assert (first.send_nonce, second.receive_nonce) == (2, 2)


@pytest.mark.parametrize("frames", [[], [b""], [b"", b""]])
def test_nothing_to_send(frames: list[bytes]) -> None:
    first, _ = pair()
    assert first.seal(list(frames)) == []
    assert first.send_nonce == 0


@pytest.mark.parametrize(
    ("size", "records"),
    [
        (MAX_PLAINTEXT_BYTES - 1, 1),
        (MAX_PLAINTEXT_BYTES, 1),
        (MAX_PLAINTEXT_BYTES + 1, 2),
        (3 * MAX_PLAINTEXT_BYTES, 3),
    ],
)
def test_long_plaintexts_are_cut_into_records(size: int, records: int) -> None:
    first, second = pair()
    plain = bytes(range(256)) * (size // 256 + 1)
    sealed = first.seal([plain[:100], plain[100:size]])
    assert first.send_nonce == records
    assert max(map(len, sealed)) <= 65535
    received = second.receive(b"".join(sealed))
    assert len(received) == records
    assert b"".join(received) == plain[:size]


def test_largest_record() -> None:
    session = receiver()
    data = record(bytes(65519))
    assert data[:2] == b"\xff\xff"
    assert session.receive(data[:-1]) == []
    assert session.partial_bytes == 65536
    assert session.receive(data[-1:]) == [bytes(65519)]
    assert session.partial_bytes == 0


def test_empty_plaintexts_are_left_out() -> None:
    session = receiver()
    assert session.receive(record(b"")) == []
    assert session.receive(record(b"x", 1) + record(b"", 2) + record(b"y", 3)) == [b"x", b"y"]
    assert session.receive(b"".join(record(b"", nonce) for nonce in range(4, 2000))) == []
    assert session.receive_nonce == 2000
    assert session.failure is None


def test_one_byte_a_record() -> None:
    session = receiver()
    data = b"".join(record(bytes([value]), nonce) for nonce, value in enumerate(b"twelve bytes"))
    assert b"".join(session.receive(data)) == b"twelve bytes"


@pytest.mark.parametrize("size", [0, 1, 15])
def test_records_shorter_than_a_tag(size: int) -> None:
    expected = f"noise: record of {size} bytes is shorter than its tag"
    data = record(b"fine") + framed(bytes(size))
    whole = receiver()
    assert whole.receive(data) == [b"fine"]
    assert reason(whole) == expected
    head = receiver()
    assert head.receive(data[: len(data) - size]) == [b"fine"]
    assert reason(head) == expected
    split = receiver()
    assert split.receive(data[: len(data) - size - 1]) == [b"fine"]
    assert split.failure is None
    assert split.receive(data[len(data) - size - 1 :]) == []
    assert reason(split) == expected


@pytest.mark.parametrize("index", range(2, 2 + 5 + TAG_BYTES))
def test_altered_records(index: int) -> None:
    session = receiver()
    assert session.receive(record(b"first") + flipped(record(b"other", 1), index) + record(b"third", 2)) == [
        b"first"
    ]
    assert reason(session) == "noise: record 1 is not authentic"


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("split", [False, True])
def test_altered_length(index: int, split: bool) -> None:
    session = receiver()
    data = flipped(record(bytes(64)), index, 0x40) + bytes(70000)
    if split:
        session.receive(data[:1])
        session.receive(data[1:])
    else:
        session.receive(data)
    assert "tag" in reason(session) if index and data[1] < TAG_BYTES else "not authentic" in reason(session)


def test_swapped_and_duplicated_records() -> None:
    swapped = receiver()
    assert swapped.receive(record(b"b", 1) + record(b"a", 0)) == []
    assert reason(swapped) == "noise: record 0 is not authentic"
    twice = receiver()
    assert twice.receive(record(b"a") + record(b"a")) == [b"a"]
    assert reason(twice) == "noise: record 1 is not authentic"


def test_reflected_record() -> None:
    first, _ = pair()
    assert first.receive(b"".join(first.seal([b"echo"]))) == []
    assert "not authentic" in reason(first)


def test_last_nonce_to_send() -> None:
    first, second = pair(nonce=MAX_NONCE - 1)
    assert second.receive(b"".join(first.seal([b"last"]))) == [b"last"]
    assert first.send_nonce == MAX_NONCE
    with pytest.raises(UsageError, match="exhausted"):
        first.seal([b"one more"])
    assert first.seal([]) == []


def test_refused_sending_uses_no_nonce() -> None:
    first, second = pair(nonce=MAX_NONCE - 1)
    with pytest.raises(UsageError, match="exhausted"):
        first.seal([bytes(MAX_PLAINTEXT_BYTES + 1)])
    assert first.send_nonce == MAX_NONCE - 1
    assert second.receive(b"".join(first.seal([b"last"]))) == [b"last"]


@pytest.mark.parametrize("split", [False, True])
def test_last_nonce_to_receive(split: bool) -> None:
    session = receiver(MAX_NONCE - 1)
    data = record(b"last", MAX_NONCE - 1) + record(b"over", MAX_NONCE)
    pieces = [data[:25], data[25:]] if split else [data]
    assert [plain for piece in pieces for plain in session.receive(piece)] == [b"last"]
    assert reason(session) == "noise: nonces are exhausted"
    assert session.receive_nonce == MAX_NONCE


def test_input_of_every_buffer_type_is_not_kept() -> None:
    session = receiver()
    data = bytearray(record(b"abc") + record(b"def", 1))
    assert session.receive(memoryview(data)[:30]) == [b"abc"]
    kept = bytes(data[30:])
    data[:] = bytes(len(data))
    data.clear()
    assert session.receive(bytearray(kept)) == [b"def"]
