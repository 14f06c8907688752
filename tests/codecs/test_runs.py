"""Equally long elements of a repeated field, which are read at once."""

from __future__ import annotations

import pytest

from mesh.codecs.kademlia import Answer, Message, Peer
from mesh.errors import Malformed, Truncated

MANY = 64


def peers(*sizes: int) -> list[bytes]:
    return [Peer(bytes([number]) * size).encode() for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes",
    [
        (),
        (1,),
        (5,) * 20,
        (5,) * 3 + (6,) + (5,) * 3,
        (5, 6, 5, 6),
        (0,) * 4,
        (200,) * 3,
        (126, 126, 125),
        (124, 125, 126, 127, 128, 129),
        (126,) * 9 + (127,) * 9,
        (300,) * 21,
        (300,) * 9 + (428,) * 9,
        (400,) * MANY,
        (5,) * MANY,
    ],
)
def test_runs_are_read_as_single_elements_are(sizes: tuple[int, ...]) -> None:
    elements = peers(*sizes)
    answer = Answer(key=b"key", closer_peers=elements)
    assert Answer.decode(answer.encode()) == answer
    assert [each.encode() for each in Message.decode(answer.encode()).closer_peers] == elements


def test_a_run_is_counted() -> None:
    [peer] = peers(5)
    with pytest.raises(Malformed, match="more than 64"):
        Answer.decode(b"".join(bytes((66, len(peer))) + peer for _ in range(MANY + 1)))


@pytest.mark.parametrize("missing", [1, 6, 7, 8])
def test_a_run_that_is_cut_off(missing: int) -> None:
    data = Answer(closer_peers=peers(*(5,) * 4)).encode()
    with pytest.raises(Truncated):
        Answer.decode(data[:-missing])


def test_a_first_length_byte_that_looks_like_the_last_length() -> None:
    """200 as a length takes two bytes, of which the first is 200 too."""
    elements = [bytes(200), bytes(72), bytes(200)]
    assert Answer.decode(Answer(closer_peers=elements).encode()).closer_peers == elements
