"""Tar archives in memory: what bundles carry, and what of it may be put on a disk (sections 11.2, 11.3, 11.6).

USTAR is written. USTAR, PAX records and GNU long names are read, with limits on entries, names and sizes. `plan` turns
entries into what to create, and refuses the whole archive for one name that leads out of the destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.codecs.tim import MAX_FILE_BYTES
from mesh.errors import Malformed, Truncated, UsageError

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)
MAX_ENTRIES: Final = 10_000
MAX_TOTAL_BYTES: Final = 256 * 2**20
MAX_NAME_BYTES: Final = 4096
MAX_RECORDS_BYTES: Final = 64 * 2**10
FILE_MODE: Final = 0o600

REGULAR: Final = "0"
HARD_LINK: Final = "1"
SYMBOLIC_LINK: Final = "2"
FOLDER: Final = "5"
_PAX: Final = "x"
_PAX_GLOBAL: Final = "g"
_GNU_NAME: Final = "L"
_GNU_LINK: Final = "K"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive. `kind` is its type flag as a character."""

    name: str
    content: bytes = b""
    mode: int = FILE_MODE
    kind: str = REGULAR
    link: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing to create below the destination: a folder, or a file with its content. `path` is relative and clean."""

    path: str
    mode: int
    content: bytes | None


def write_tar(entries: Iterable[Entry], mtime_s: int) -> bytes:
    """An archive. Raises UsageError for names that USTAR has no room for."""
    found = []
    for entry in entries:
        padding = -len(entry.content) % BLOCK_BYTES
        found += [_write_header(entry, mtime_s), entry.content, bytes(padding)]
    return b"".join(found) + END


def read_tar(data: bytes) -> list[Entry]:
    """The entries of an archive, of all kinds. Raises Truncated or Malformed."""
    found: list[Entry] = []
    offset = total = 0
    longer: dict[str, str] = {}
    while offset < len(data):
        header = data[offset : offset + BLOCK_BYTES]
        if len(header) < BLOCK_BYTES:
            raise Truncated("tar", offset)
        if not any(header):
            return found
        _check_sum(header, offset)
        kind = chr(header[156])
        size = _number(header[124:136], offset)
        if "size" in longer and kind not in (_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK):
            size = int(longer["size"])
        start = offset + BLOCK_BYTES
        if size > MAX_FILE_BYTES:
            name = longer.get("path") or _name(header)
            raise Malformed("tar", offset, f"file {name[:200]} exceeds maximum size")
        if start + size > len(data):
            raise Truncated("tar", offset)
        content = data[start : start + size]
        offset = start + size + -size % BLOCK_BYTES
        if kind in (_PAX, _GNU_NAME, _GNU_LINK):
            longer |= _read_longer(kind, content, start)
            continue
        if kind == _PAX_GLOBAL:
            continue
        total += size
        if len(found) == MAX_ENTRIES or total > MAX_TOTAL_BYTES:
            raise Malformed("tar", start, f"more than {MAX_ENTRIES} entries or {MAX_TOTAL_BYTES} bytes")
        name = longer.get("path") or _name(header)
        link = longer.get("linkpath") or _text(header[157:257])
        longer.clear()
        if kind == "\0":
            kind = FOLDER if name.endswith("/") else REGULAR
        mode = _number(header[100:108], offset) & 0o7777
        found.append(Entry(name, content if kind == REGULAR else b"", mode, kind, link))
    return found


def read_rootfs(data: bytes) -> dict[str, bytes]:
    """The files of an archive as the model of a root file system keeps them: regular ones, one leading slash cut, the
    last of repeated names, no metadata. Raises Truncated or Malformed."""
    found: dict[str, bytes] = {}
    for entry in read_tar(data):
        name = entry.name.removeprefix("/")
        if entry.kind == REGULAR and name and not name.endswith("/"):
            found.pop(name, None)
            found[name] = entry.content
    return found


def write_rootfs(files: Mapping[str, bytes], mtime_s: int) -> bytes:
    """An archive of files by name, all of mode 0600."""
    return write_tar([Entry(name, content) for name, content in files.items()], mtime_s)


def write_tim(config: bytes, files: Mapping[str, bytes], mtime_s: int) -> bytes:
    """An unencrypted bundle; the mesh sends none."""
    entries = [Entry("config.json", config), Entry("rootfs/", mode=0o755, kind=FOLDER)]
    return write_tar([*entries, *(Entry(f"rootfs/{name}", files[name]) for name in files)], mtime_s)


def read_tim(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Configuration and files of an unencrypted bundle. Raises Truncated or Malformed."""
    files = read_rootfs(data)
    if "config.json" not in files:
        raise Malformed("tim", None, "no config.json")
    rootfs = {name.removeprefix("rootfs/"): files[name] for name in files if name.startswith("rootfs/")}
    return files["config.json"], rootfs


def plan(entries: Iterable[Entry]) -> list[Planned]:
    """What to create for the entries, folders before what is in them. Links and devices are left out.

    Raises Malformed for a name that leads out, for a file where a folder has to be, and for too much of all.
    """
    planned: dict[str, Planned] = {}
    total = 0
    for entry in entries:
        path = clean_name(entry.name)
        if entry.kind not in (REGULAR, FOLDER):
            continue
        if path == ".":
            if entry.kind == REGULAR:
                raise Malformed("tar", None, f"invalid tar entry: no file name: {entry.name[:200]}")
            continue
        parts = path.split("/")
        for depth in range(1, len(parts)):
            _plan_folder(planned, "/".join(parts[:depth]), entry.name)
        if entry.kind == FOLDER:
            _plan_folder(planned, path, entry.name)
            continue
        before = planned.pop(path, None)
        if before is not None and before.content is None:
            raise Malformed("tar", None, f"invalid tar entry: a file where a folder is: {entry.name[:200]}")
        if len(entry.content) > MAX_FILE_BYTES:
            raise Malformed("tar", None, f"file {entry.name[:200]} exceeds maximum size")
        total += len(entry.content)
        if len(planned) >= MAX_ENTRIES or total > MAX_TOTAL_BYTES:
            raise Malformed("tar", None, f"more than {MAX_ENTRIES} entries or {MAX_TOTAL_BYTES} bytes")
        planned[path] = Planned(path, entry.mode & 0o777, entry.content)
    return list(planned.values())


def clean_name(name: str) -> str:
    """The relative path that a name of an entry stands for, `.` for the destination. Raises Malformed if it leads out."""
    if "\0" in name or "\\" in name or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
        raise Malformed("tar", None, f"invalid tar entry: no portable name: {name[:200]!r}")
    if name.startswith("/"):
        raise Malformed("tar", None, f"invalid tar entry: absolute path not allowed: {name}")
    parts: list[str] = []
    for part in name.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not parts:
                raise Malformed("tar", None, f"invalid tar entry: path traversal attempt: {name}")
            parts.pop()
        else:
            parts.append(part)
    if parts and len(parts[0]) == 2 and parts[0][1] == ":":
        raise Malformed("tar", None, f"invalid tar entry: no portable name: {name[:200]!r}")
    return "/".join(parts) or "."


def _plan_folder(planned: dict[str, Planned], path: str, name: str) -> None:
    before = planned.get(path)
    if before is None:
        planned[path] = Planned(path, 0o755, None)
    elif before.content is not None:
        raise Malformed("tar", None, f"invalid tar entry: a folder where a file is: {name[:200]}")


def _write_header(entry: Entry, mtime_s: int) -> bytes:
    name = entry.name.encode("utf-8", "surrogateescape")
    prefix = b""
    if len(name) > 100:
        cut = name.rfind(b"/", 0, 156)
        if cut < 1 or not 0 < len(name) - cut - 1 <= 100:
            raise UsageError(f"tar: the name {entry.name[:200]!r} is too long")
        prefix, name = name[:cut], name[cut + 1 :]
    link = entry.link.encode()
    if len(link) > 100 or len(entry.content) >= 8**11 or not 0 <= mtime_s < 8**11:
        raise UsageError(f"tar: link, size or time of {entry.name[:200]!r} do not fit")
    zero = b"0000000\0"
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % (entry.mode & 0o7777),
        zero,
        zero,
        b"%011o\0" % len(entry.content),
        b"%011o\0" % mtime_s,
        b" " * 8,
        entry.kind.encode(),
        link.ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        zero,
        zero,
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _check_sum(header: bytes, offset: int) -> None:
    counted = sum(header) - sum(header[148:156]) + 8 * 32
    if _number(header[148:156], offset) != counted:
        raise Malformed("tar", offset, "a header whose checksum is wrong")


def _number(field: bytes, offset: int) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] == 0xFF or value >= 2**63:
            raise Malformed("tar", offset, "a number that is negative or too large")
        return value
    text = field.strip(b" \0")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise Malformed("tar", offset, "a number that is not octal")
    return int(text, 8)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), ""
    if header[257:263] == b"ustar\0":
        prefix = _text(header[345:500])
    return f"{prefix}/{name}" if prefix else name


def _read_longer(kind: str, content: bytes, offset: int) -> dict[str, str]:
    if len(content) > MAX_RECORDS_BYTES:
        raise Malformed("tar", offset, f"more than {MAX_RECORDS_BYTES} bytes of extended header")
    if kind != _PAX:
        return {"path" if kind == _GNU_NAME else "linkpath": _text(content)}
    found: dict[str, str] = {}
    at = 0
    while at < len(content):
        digits, _, _ = content[at : at + 20].partition(b" ")
        if not digits.isdigit() or not 5 <= int(digits) <= len(content) - at:
            raise Malformed("tar", offset + at, "a PAX record without its length")
        record = content[at + len(digits) + 1 : at + int(digits)]
        key, equals, value = record[:-1].partition(b"=")
        if record[-1:] != b"\n" or not equals:
            raise Malformed("tar", offset + at, "a PAX record without key or end")
        if key in (b"path", b"linkpath"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise Malformed("tar", offset + at, "a PAX size that is no number")
            found["size"] = value.decode()
        elif key.startswith(b"GNU.sparse"):
            raise Malformed("tar", offset + at, "a sparse file")
        at += int(digits)
    return found
