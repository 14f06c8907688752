"""Archives that others write, or that were made to do harm."""

from __future__ import annotations

import pytest

from mesh.codecs.tim import MAX_FILE_BYTES
from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.protocols.lethean.tarball import END, Entry, read_tar, write_tar


def header(field: slice, value: bytes, entry: Entry | None = None) -> bytes:
    """One entry's blocks with a field of its header changed and the checksum right again."""
    whole = bytearray(write_tar([entry or Entry("a", b"x")], 0)[: -len(END)])
    whole[field] = value
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole[:512])
    return bytes(whole)


def pax(records: bytes, kind: str = "x") -> bytes:
    """An extended header."""
    return write_tar([Entry("pax", records, kind=kind)], 0)[: -len(END)]


PLAIN = write_tar([Entry("a", b"x")], 0)
SIZE, MODE, KIND, MAGIC = slice(124, 136), slice(100, 108), slice(156, 157), slice(257, 263)


def test_numbers_in_base_256() -> None:
    [entry] = read_tar(header(SIZE, b"\x80" + bytes(10) + b"\x01") + END)
    assert entry.content == b"x"
    for size in (b"\xff" * 12, b"\x80\x00\x00\x01" + bytes(8)):
        with pytest.raises(Malformed, match="number"):
            read_tar(header(SIZE, size) + END)


def test_numbers_that_are_none() -> None:
    with pytest.raises(Malformed, match="octal"):
        read_tar(header(MODE, b"00009x0\0") + END)
    [entry] = read_tar(header(MODE, bytes(8)) + END)
    assert entry.mode == 0


def test_old_archives_have_other_flags_and_no_prefix() -> None:
    [entry] = read_tar(header(KIND, b"\0") + END)
    assert entry.kind == "0"
    [entry] = read_tar(header(KIND, b"\0", Entry("d/")) + END)
    assert entry.kind == "5"
    [entry] = read_tar(header(MAGIC, b"other\0", Entry("p" * 60 + "/" + "n" * 90, b"x")) + END)
    assert entry.name == "n" * 90


def test_archives_may_end_without_zeros_but_not_inside() -> None:
    assert read_tar(PLAIN[: -len(END)]) == read_tar(PLAIN)
    assert read_tar(b"") == []
    assert read_tar(PLAIN + b"anything behind the end") == read_tar(PLAIN)
    for size in (100, 511, 512):
        with pytest.raises(Truncated):
            read_tar(PLAIN[:size])
    with pytest.raises(Malformed, match="checksum"):
        read_tar(b"b" + PLAIN[1:])


def test_extended_headers() -> None:
    named = pax(b"21 path=another/name\n" + b"14 linkpath=l\n") + PLAIN
    [entry] = read_tar(named)
    assert (entry.name, entry.link, entry.content) == ("another/name", "l", b"x")
    sized = pax(b"10 size=1\n") + header(SIZE, b"00000000777\0") + END
    assert read_tar(sized)[0].content == b"x"
    assert read_tar(pax(b"20 path=ignored/abc\n", "g") + PLAIN)[0].name == "a"
    assert read_tar(pax(b"long-name\0", "L") + pax(b"link\0", "K") + PLAIN)[0].name == "long-name"


@pytest.mark.parametrize(
    "records",
    [
        b"path=x\n",
        b"99 path=x\n",
        b"3 p\n",
        b"9 path=xx\n",
        b"9 path xx",
        b"9 pathxxx",
        b"12 size=abc\n",
        b"30 size=9999999999999999999999\n",
        b"22 GNU.sparse.major=1\n",
        b"x" * 70_000,
    ],
)
def test_extended_headers_that_are_none(records: bytes) -> None:
    with pytest.raises(Malformed):
        read_tar(pax(records) + PLAIN)


def test_a_size_beyond_the_limit_is_refused_before_it_is_looked_for() -> None:
    with pytest.raises(Malformed, match="file a exceeds maximum size"):
        read_tar(header(SIZE, b"%011o\0" % (MAX_FILE_BYTES + 1)) + END)
    record = b"18 size=999999999\n"
    with pytest.raises(DecodeError):
        read_tar(pax(record) + PLAIN)


def test_what_ustar_has_no_room_for() -> None:
    for entry in (Entry("n" * 101), Entry("p" * 200 + "/n"), Entry("a", link="l" * 101)):
        with pytest.raises(UsageError):
            write_tar([entry], 0)
    with pytest.raises(UsageError):
        write_tar([Entry("a")], -1)
