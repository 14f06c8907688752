"""Changes to byte strings that find faults in decoders."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_TELLING = (0x00, 0x01, 0x02, 0x07, 0x0A, 0x0B, 0x0C, 0x12, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
_TELLING_RUNS = (
    b"\x80\x00",
    b"\x80\x01",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 9 + b"\x02",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\x0b\x0c",
    b"\x0b\x13\x14\x0c",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
)
MAX_BYTES = 4096


def mutate(data: bytes, corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """One to four random changes of `data`; `corpus` gives material for splices."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_CHANGES)(out, corpus, rng)
    return bytes(out[:MAX_BYTES])


def _place(out: bytearray, rng: random.Random) -> int:
    return rng.randrange(len(out)) if out else 0


def _flip(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _replace(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] = rng.choice((*_TELLING, rng.randrange(256)))


def _step(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    if out:
        at = _place(out, rng)
        out[at] = (out[at] + rng.choice((-2, -1, 1, 2))) % 256


def _insert(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = _place(out, rng)
    out[at:at] = rng.choice((rng.choice(_TELLING_RUNS), rng.randbytes(rng.randrange(1, 9))))


def _delete(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = _place(out, rng)
    del out[at : at + rng.choice((1, 1, 2, 4, 16))]


def _truncate(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    del out[_place(out, rng) :]


def _repeat(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    at = _place(out, rng)
    part = out[at : at + rng.randrange(1, 33)]
    out[at:at] = part * rng.choice((1, 1, 2, 20))


def _splice(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(corpus)
    out[_place(out, rng) :] = other[rng.randrange(len(other) + 1) :]


def _append(out: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    out += rng.choice(corpus)


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip,
    _flip,
    _replace,
    _replace,
    _step,
    _insert,
    _delete,
    _truncate,
    _repeat,
    _splice,
    _append,
)
