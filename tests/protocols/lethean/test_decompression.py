"""Compressed messages: gzip and zstd in parts, cut, endless, and without the package."""

from __future__ import annotations

import sys
import zlib

import pytest
import zstandard

from mesh.errors import Malformed
from mesh.protocols.lethean import sigil, smsg
from mesh.protocols.lethean.decompression import MAX_PARTS, MAX_TEXT_BYTES, decompress
from mesh.protocols.lethean.trix import write_container

TEXT = b'{"body":"' + b"so it goes. " * 1000 + b'"}'
SKIPPED = bytes.fromhex("502a4d1803000000") + b"abc"


def gzip(text: bytes) -> bytes:
    writer = zlib.compressobj(wbits=31)
    return writer.compress(text) + writer.flush()


def zstd(text: bytes, **parameters: int) -> bytes:
    chosen = zstandard.ZstdCompressionParameters(**parameters)
    return zstandard.ZstdCompressor(compression_params=chosen).compress(text)


def streamed(text: bytes) -> bytes:
    writer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return writer.compress(text) + writer.flush()


PACKED = {"gzip": gzip, "zstd": zstd}


@pytest.mark.parametrize("kind", PACKED)
def test_parts_are_joined(kind: str) -> None:
    pack = PACKED[kind]
    assert decompress(pack(TEXT), kind) == TEXT
    assert decompress(pack(TEXT) + pack(b"") + pack(b"more"), kind) == TEXT + b"more"
    assert decompress(b"".join(pack(b"x") for _ in range(MAX_PARTS)), kind) == b"x" * MAX_PARTS
    with pytest.raises(Malformed, match=f"more than {MAX_PARTS}"):
        decompress(b"".join(pack(b"x") for _ in range(MAX_PARTS + 1)), kind)


@pytest.mark.parametrize("kind", PACKED)
def test_a_text_may_grow_to_its_limit_and_no_further(kind: str) -> None:
    pack = PACKED[kind]
    assert decompress(pack(bytes(MAX_TEXT_BYTES)), kind) == bytes(MAX_TEXT_BYTES)
    for bomb in (pack(bytes(MAX_TEXT_BYTES + 1)), pack(bytes(MAX_TEXT_BYTES)) + pack(b"x")):
        with pytest.raises(Malformed, match="grows"):
            decompress(bomb, kind)


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_cut_or_followed_by_something_else_is_refused(kind: str) -> None:
    packed = PACKED[kind](TEXT)
    for place in range(1, len(packed), 3):
        with pytest.raises(Malformed, match="ends early"):
            decompress(packed[:place], kind)
    for rest in (b"x", bytes(64)):
        with pytest.raises(Malformed, match=kind):
            decompress(packed + rest, kind)
    with pytest.raises(Malformed, match=kind):
        decompress(TEXT, kind)


def test_frames_of_zstd() -> None:
    assert decompress(SKIPPED + streamed(TEXT) + SKIPPED, "zstd") == TEXT
    spoiled = bytearray(streamed(TEXT))
    spoiled[-1] ^= 1
    with pytest.raises(Malformed, match="zstd"):
        decompress(bytes(spoiled), "zstd")
    writer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    with pytest.raises(Malformed, match="memory"):
        decompress(writer.compress(b"x") + writer.flush(), "zstd")


def test_any_other_name_is_no_compression() -> None:
    for name in (None, "", "brotli", "GZIP", 1, ["zstd"], {"zstd": 1}):
        assert decompress(TEXT, name) == TEXT


def test_without_the_package_a_message_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    box = sigil.seal(bytes(32), bytes(24), zstd(TEXT))
    data = write_container(smsg.MAGIC, '{"compression":"zstd"}', box)
    with pytest.raises(Malformed, match=r"mesh\[zstd\]"):
        smsg.open_message(bytes(32), data)


def test_a_compressed_message_is_read() -> None:
    for kind, pack in PACKED.items():
        box = sigil.seal(bytes(32), bytes(24), pack(TEXT))
        data = write_container(smsg.MAGIC, f'{{"compression":"{kind}"}}', box)
        assert smsg.open_message(bytes(32), data).body == smsg.open_body(bytes(32), data) != ""
