"""Bundles, STIM and tar against what Go made, opened, extracted and refused."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, MeshError, UsageError
from mesh.protocols.lethean import bundle, stim, tarball
from mesh.protocols.lethean.compat import COMPAT
from mesh.protocols.lethean.messages import Deploy
from mesh.protocols.lethean.tarball import Entry, Planned, clean_name, plan, read_rootfs, read_tar, write_tar
from tests.protocols.lethean.vectors import group

TIM = group("tim")
NONCES = bytes(range(48))
ENCRYPTED = [case for case in TIM["bundles"] if "header_json" in case]


def deploy(case: dict[str, Any]) -> Deploy:
    return Deploy(
        type=case["type"],
        name=case["bundle_name"],
        data=base64.b64decode(case["data_base64"]),
        checksum=case["checksum"],
    )


@pytest.mark.parametrize("case", TIM["bundles"], ids=lambda case: case["name"])
def test_bundles_of_go(case: dict[str, Any]) -> None:
    found = deploy(case)
    bundle.verify(found)
    assert bundle.open_profile(found, case["password"] or "unused") == case["extract_profile_text"]
    stream = bundle.write_stream(found)
    assert (stream[:120], len(stream)) == (case["stream_json_first_120"], case["stream_json_len"])
    assert bundle.read_stream(stream) == found
    if case["extract_miner_error"]:
        with pytest.raises(MeshError):
            bundle.open_miner(found, case["password"])
        return
    opened = bundle.open_miner(found, case["password"], COMPAT)
    assert opened.profile == case["extract_miner_profile_text"]
    assert set(opened.files) == set(case["extracted_files"])
    assert {f"{each.mode:04o}" for each in opened.plan() if each.content is not None} <= {"0600"}


@pytest.mark.parametrize("case", ENCRYPTED, ids=lambda case: case["name"])
def test_stims_of_go_are_written_again_byte_for_byte(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["data_base64"])
    config, rootfs = stim.open_stim(case["password"], data)
    assert config.decode() == case["config_text"]
    assert len(rootfs) == case["rootfs_tar_len"]
    entries = read_tar(rootfs)
    for entry, wanted in zip(entries, case["rootfs_tar_entries"], strict=True):
        assert (entry.name, entry.kind) == (wanted["name"], wanted["type"])
        assert hashlib.sha256(entry.content).hexdigest() == wanted["content_sha256"]
        assert f"{entry.mode:04o}" == wanted["mode"]
    start = 9 + int.from_bytes(data[5:9], "big")
    size = int.from_bytes(data[start : start + 4], "big")
    nonces = data[start + 4 : start + 28] + data[start + 4 + size : start + 28 + size]
    assert stim.seal_stim(case["password"], config, rootfs, nonces) == data
    if entries:
        mtime = int(rootfs[136:147], 8)
        assert write_tar(entries, mtime) == rootfs
    else:
        assert rootfs == tarball.END


@pytest.mark.parametrize("case", TIM["reject"], ids=lambda case: case["name"])
def test_refused_stims(case: dict[str, Any]) -> None:
    with pytest.raises((DecodeError, UsageError)) as refusal:
        stim.open_stim(case["password"], base64.b64decode(case["data_base64"]))
    words = str(refusal.value)
    expected = case.get("error", "invalid stim payload")
    assert expected.split(": ")[-1] in words.replace("sigil: ", "")


@pytest.mark.parametrize("case", TIM["create_tarball"])
def test_archives_of_go(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["tar_base64"])
    entries = read_tar(data)
    assert [(each.name, each.kind, f"{each.mode:04o}") for each in entries] == [
        (each["name"], each["type"], each["mode"]) for each in case["entries"]
    ]
    assert write_tar(entries, int(data[136:147], 8)) == data


def entries_of(case: dict[str, Any]) -> list[Entry]:
    return [
        Entry(
            each["name"],
            b"x" if each["type"] == "0" else b"",
            int(each["mode"], 8),
            each["type"],
            each["linkname"],
        )
        for each in case["entries"]
    ]


@pytest.mark.parametrize("case", TIM["extraction"], ids=lambda case: f"{case['name']}, {case['via'][:7]}")
def test_extraction(case: dict[str, Any]) -> None:
    """What Go extracts is planned; where Go stops in the middle, nothing is."""
    archive = write_tar(entries_of(case), 0)
    entries = read_tar(archive)
    if case["via"] != "extract tar directly":
        entries = [Entry(name, content) for name, content in read_rootfs(archive).items()]
    if case["error"]:
        with pytest.raises(Malformed) as refusal:
            plan(entries)
        assert case["error"].endswith(refusal.value.reason)
        return
    found = {f"dest/{each.path} {each.mode:04o}" for each in plan(entries) if each.content is not None}
    assert found == set(case["files"])
    first = next((each.path for each in plan(entries) if each.mode & 0o111 and each.content is not None), "")
    assert case["first_executable"].removeprefix("<dest>/") == first


def test_the_placeholder_is_no_profile_beyond_go() -> None:
    [case] = [case for case in TIM["bundles"] if case["name"] == "miner without profile"]
    assert bundle.open_miner(deploy(case), case["password"]).profile is None
    assert bundle.open_miner(deploy(case), case["password"], COMPAT).profile == bundle.PLACEHOLDER


def test_bundles_of_ours() -> None:
    profile = bundle.make_profile("gpu", '{"a":1}', "secret", NONCES)
    assert bundle.open_profile(profile, "secret") == '{"a":1}'
    assert bundle.inspect(profile).form == "stim"
    plain = bundle.make_plain_profile("gpu", "[1]")
    assert bundle.open_profile(plain, "") == "[1]"
    assert bundle.inspect(plain).form == "json"
    miner = bundle.make_miner("m", {"bin/x": b"run"}, None, "secret", NONCES, 1_700_000_000)
    opened = bundle.open_miner(miner, "secret")
    assert (opened.profile, opened.files) == (None, {"bin/x": b"run"})
    assert opened.plan() == [Planned("bin", 0o755, None), Planned("bin/x", 0o600, b"run")]
    assert bundle.inspect(Deploy(data=b"STIMx")).form == "unknown"
    assert bundle.inspect(miner).checksum_right == "yes"
    with pytest.raises(DecodeError):
        bundle.open_miner(miner, "other")


def test_what_is_not_made() -> None:
    for name, profile in (("../x", "{}"), ("x", "{")):
        with pytest.raises(UsageError):
            bundle.make_plain_profile(name, profile)
    for password, nonces in (("", NONCES), ("p", NONCES[1:])):
        with pytest.raises(UsageError):
            bundle.make_profile("x", "{}", password, nonces)
    with pytest.raises(Malformed):
        bundle.make_miner("x", {"../y": b""}, None, "p", NONCES, 0)


def test_a_checksum_is_compared_as_text() -> None:
    found = bundle.make_plain_profile("x", "{}")
    for wrong in (found.checksum.upper(), "", "é", found.checksum[:-1]):
        found.checksum = wrong
        with pytest.raises(Malformed, match="checksum"):
            bundle.open_profile(found, "")


def test_unencrypted_bundles() -> None:
    data = tarball.write_tim(b"{}", {"bin/x": b"run"}, 0)
    assert [(each.name, each.kind, each.mode) for each in read_tar(data)] == [
        ("config.json", "0", 0o600),
        ("rootfs/", "5", 0o755),
        ("rootfs/bin/x", "0", 0o600),
    ]
    assert tarball.read_tim(data) == (b"{}", {"bin/x": b"run"})
    with pytest.raises(Malformed):
        tarball.read_tim(tarball.END)


def foreign(names: dict[str, bytes], form: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_archives_of_python_are_read(form: int) -> None:
    names = {"a": b"1", "b/c": b"22" * 600, "d/" * 30 + "e" * 90: b"3"}
    if form != tarfile.USTAR_FORMAT:
        names |= {"é" * 80 + "/" + "x" * 120: b"4", "long/" * 60 + "n" * 130: b""}
    assert read_rootfs(foreign(names, form)) == names


@given(st.dictionaries(st.text("ab/.é ", min_size=1, max_size=150), st.binary(max_size=700), max_size=5))
def test_python_reads_archives_of_ours(files: dict[str, bytes]) -> None:
    try:
        data = write_tar([Entry(name, content) for name, content in files.items()], 5)
    except UsageError:
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = [(info.name.rstrip("/"), info.size) for info in archive.getmembers()]
    assert found == [(name.rstrip("/"), len(content)) for name, content in files.items()]


@given(st.binary(max_size=1200), st.integers(0, 511), st.integers(0, 255))
def test_damaged_archives_are_refused_or_read(tail: bytes, place: int, octet: int) -> None:
    data = bytearray(write_tar([Entry("a", b"x" * 10)], 0)[:1024] + tail)
    data[place] = octet
    try:
        found = read_tar(bytes(data))
    except DecodeError:
        return
    assert sum(len(entry.content) for entry in found) <= len(data)


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../../x", "/x", "//x", "a\\b", "a\0b", "C:/x", "x/" * 3000]
)
def test_names_that_lead_out(name: str) -> None:
    with pytest.raises(Malformed, match="invalid tar entry"):
        clean_name(name)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "..foo", "b"]), max_size=12))
def test_clean_names_stay_inside(parts: list[str]) -> None:
    try:
        found = clean_name("/".join(parts))
    except Malformed:
        return
    assert found == "." or not {"", ".", ".."} & set(found.split("/"))


def test_files_and_folders_in_each_others_place() -> None:
    for names in (("a", "a/b"), ("a/b", "a")):
        with pytest.raises(Malformed, match="invalid tar entry"):
            plan([Entry(name) for name in names])
    with pytest.raises(Malformed):
        plan([Entry("./")])
    assert plan([Entry("a/", kind="5"), Entry("a/b", b"1"), Entry("a/b", b"2", 0o4755)]) == [
        Planned("a", 0o755, None),
        Planned("a/b", 0o755, b"2"),
    ]


def test_sizes_and_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_ENTRIES", 3)
    monkeypatch.setattr(tarball, "MAX_TOTAL_BYTES", 100)
    monkeypatch.setattr(tarball, "MAX_FILE_BYTES", 60)
    many = [Entry(f"f{number}") for number in range(4)]
    heavy = [Entry("a", bytes(60)), Entry("b", bytes(60))]
    large = [Entry("a", bytes(61))]
    for entries, words in ((many, "more than"), (heavy, "more than"), (large, "file a exceeds maximum size")):
        with pytest.raises(Malformed, match=words):
            plan(entries)
        with pytest.raises(Malformed, match=words):
            read_tar(write_tar(entries, 0))
