"""Every part of the vocabulary: compiled and interpreted agree, and the code is what a type checker accepts."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.mutation import mutate
from mesh.errors import Malformed, Truncated, UsageError
from tests.codecs.values import values
from tests.spec_compiler.schemas import NAMESPACE, SOURCE, sample_pairs

SAMPLES = sample_pairs()
every_sample = pytest.mark.parametrize("name", SAMPLES)


@every_sample
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_values(name: str, data: st.DataObject) -> None:
    schema, pair = SAMPLES[name]
    assert pair.writing_disagreement(data.draw(values(schema))) is None


@every_sample
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60))
def test_arbitrary_bytes(name: str, data: bytes) -> None:
    assert SAMPLES[name][1].disagreement(data) is None


@every_sample
@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_changed_valid_bytes(name: str, data: st.DataObject, seed: int) -> None:
    schema, pair = SAMPLES[name]
    valid = [pair.build(value) for value in data.draw(st.lists(values(schema), min_size=1, max_size=3))]
    corpus = [encoded for encoded in valid if encoded is not None] or [b""]
    rng = random.Random(seed)
    for _ in range(8):
        assert pair.disagreement(mutate(rng.choice(corpus), corpus, rng)) is None


def decode(title: str, data: str) -> Any:
    return NAMESPACE[title].decode(bytes.fromhex(data))


# --- numbers in lists ---------------------------------------------------------------------------------------


def test_packed_and_plain_lists_are_both_read() -> None:
    mixed = decode("Lists", "0a0301ac02 0805 0a00 1002 1202 0103")
    assert mixed.packed == [1, 300, 5]
    assert mixed.plain == [1, -1, -2]
    assert mixed.encode() == bytes.fromhex("0a0401ac0205 1002 1001 1003")


def test_counts_hold_across_both_forms() -> None:
    with pytest.raises(Malformed, match=r"Lists\.packed"):
        decode("Lists", "0a0301020308040805")
    with pytest.raises(Malformed, match=r"Lists\.words"):
        decode("Lists", "1a10" + "00000001" * 4)
    with pytest.raises(UsageError, match=r"Lists\.packed: 5 elements, at most 4"):
        NAMESPACE["Lists"](packed=[1, 2, 3, 4, 5]).encode()


def test_a_packed_list_ends_with_its_region() -> None:
    with pytest.raises(Malformed, match="crosses the end"):
        decode("Lists", "0a0180 05")
    with pytest.raises(Malformed, match="no whole number"):
        decode("Lists", "1a0500000001 00")


def test_a_number_in_another_wire_type_is_unknown() -> None:
    assert decode("Numbers", "0d01000000 51 0100000000000000 5001").u32 is None
    assert decode("Numbers", "0a0101 51 0100000000000000").u32 is None


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ("08ffffffff7f", "u32", 0xFFFFFFFF),
        ("10ffffffffffffffffff01", "i32", -1),
        ("10ffffffff0f", "i32", -1),
        ("1080808080f8ffffffff01", "i32", -(2**31)),
        ("20ffffffffffffffffff01", "i64", -1),
        ("2803", "s32", -2),
        ("30ffffffffffffffffff01", "s64", -(2**63)),
        ("388080808080808010", "flag", True),
        ("45ffffffff", "f32", 0xFFFFFFFF),
        ("4dffffffff", "sf32", -1),
        ("61000000000000f83f", "real", 1.5),
        ("7063", "mood", 99),
        ("78ffffffffffffffffff01", "sign", -1),
    ],
)
def test_number_types(data: str, name: str, value: Any) -> None:
    assert getattr(decode("Numbers", data + "510000000000000000"), name) == value


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("1804", r"Numbers\.u64 at 1: 4 is outside 5 to"),
        ("28c901", r"Numbers\.s32 at 1: -101 is outside -100 to 100"),
        ("59f5ffffffffffffff", r"Numbers\.sf64 at 1: -11 is outside -10"),
        ("6801", r"Numbers\.colour at 1: 1 is no Colour"),
    ],
)
def test_ranges(data: str, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        decode("Numbers", data)


def test_ranges_hold_when_writing() -> None:
    numbers = NAMESPACE["Numbers"]
    for arguments in ({"u64": 4}, {"u32": -1}, {"u32": 2**32}, {"s32": 101}, {"colour": 1}, {"sf64": -11}):
        with pytest.raises(UsageError, match=f"Numbers.{next(iter(arguments))}"):
            numbers(f64=0, **arguments).encode()


# --- nesting ------------------------------------------------------------------------------------------------

LEAF = "0a0161 1005"


def test_required_fields_are_looked_for_after_merging() -> None:
    merged = decode("Branch", "1a030a0161 1a021005")
    assert (merged.sure.name, merged.sure.weight) == ("a", 5)
    with pytest.raises(Malformed, match=r"Leaf\.weight"):
        decode("Branch", "1a030a0161")
    with pytest.raises(Malformed, match=r"Branch\.sure"):
        decode("Branch", "")


def test_a_merged_message_keeps_its_maximum() -> None:
    part = "1a1f" + "0a0161 1005" + "7a18" + "00" * 24
    assert decode("Branch", part * 2).sure.weight == 5
    with pytest.raises(Malformed, match=r"Branch\.sure .*more than 64"):
        decode("Branch", part * 3)


# --- layouts ------------------------------------------------------------------------------------------------


def test_a_layout_in_bytes() -> None:
    packet = NAMESPACE["Packet"](b"ab", 80, 7, 1, "é", b"xy", b"", 300, 9, [(1, b"v"), (255, b"")], b"!")
    expected = (
        "6162 0102 0050 07000000 01 02c3a9 00027879 00000000 ac02 0000000000000009 0007 01000176 ff0000 21"
    )
    assert packet.encode() == bytes.fromhex(expected)
    assert decode("Packet", expected) == packet


@pytest.mark.parametrize(
    ("data", "error", "what"),
    [
        ("6162", Truncated, "Packet"),
        ("6162 0103 0050", Malformed, "constant 0102"),
        ("6162 0102 0000", Malformed, r"Packet\.port"),
        ("6162 0102 0050 0b000000 00", Malformed, r"Packet\.small"),
        ("6162 0102 0050 07000000 01 07", Malformed, r"Packet\.name .*7 is outside 0 to 6"),
        ("6162 0102 0050 07000000 01 0161 0001", Malformed, r"Packet\.blob"),
        ("6162 0102 0050 07000000 01 0161 000278", Truncated, r"Packet\.blob"),
    ],
)
def test_refused_layouts(data: str, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what) as caught:
        decode("Packet", data)
    assert type(caught.value) is error


def test_tlv_limits() -> None:
    entries = NAMESPACE["decode_entries"]
    assert entries(bytes.fromhex("0701000161 020000")) == ([(1, b"a"), (2, b"")], 8)
    with pytest.raises(Malformed, match="13 is outside 0 to 12"):
        entries(bytes.fromhex("1001000d") + bytes(13))
    with pytest.raises(Malformed, match="more than 3"):
        entries(bytes.fromhex("0c") + bytes(12))
    with pytest.raises(Malformed, match="crosses the end"):
        entries(bytes.fromhex("0401000261"))


def test_the_generated_code_passes_the_strict_type_checker(tmp_path: Path) -> None:
    path = tmp_path / "samples.py"
    path.write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert all(len(line) <= 120 for line in SOURCE.splitlines())
