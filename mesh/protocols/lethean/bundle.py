"""Bundles: profiles and miners as they are deployed (sections 11.4 and 11.5).

A bundle is the record `messages.Deploy`. Its password is the one of the connection it travels on. Every name that becomes
a folder is checked first.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.protocols.lethean import go_json, stim, tarball
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.json_record import BINARY, INTEGER, TEXT, TEXTS, TIME, JsonRecord, Key
from mesh.protocols.lethean.messages import Deploy
from mesh.protocols.lethean.names import check_bundle_name
from mesh.protocols.lethean.trix import read_container

PROFILE: Final = "profile"
MINER: Final = "miner"
FULL: Final = "full"
PLACEHOLDER: Final = '{"Header":{},"Payload":null}'
"""What Go puts into a miner bundle that was made without a profile."""


class Manifest(JsonRecord):
    """Defined by Go, and never sent."""

    __slots__ = ("created_at", "miner_type", "name", "profile_ids", "type", "version")
    type: str
    name: str
    version: str
    miner_type: str
    profile_ids: list[str] | None
    created_at: str
    KEYS = (
        Key("type", "type", TEXT),
        Key("name", "name", TEXT),
        Key("version", "version", TEXT, omit=True),
        Key("miner_type", "minerType", TEXT, omit=True),
        Key("profile_ids", "profileIds", TEXTS, omit=True),
        Key("created_at", "createdAt", TIME),
    )


class BundleFile(JsonRecord):
    """A bundle in a file: the keys of `deploy` in another order."""

    __slots__ = ("checksum", "data", "name", "type")
    type: str
    name: str
    data: bytes | None
    checksum: str
    KEYS = (
        Key("type", "type", TEXT),
        Key("name", "name", TEXT),
        Key("data", "data", BINARY),
        Key("checksum", "checksum", TEXT),
    )


class Summary(JsonRecord):
    """What can be told of a bundle without its password. `form` is `stim`, `json` or `unknown`."""

    __slots__ = ("bytes", "checksum", "checksum_right", "form", "name", "type")
    type: str
    name: str
    form: str
    bytes: int
    checksum: str
    checksum_right: str
    KEYS = (
        Key("type", "type", TEXT),
        Key("name", "name", TEXT),
        Key("form", "form", TEXT),
        Key("bytes", "bytes", INTEGER),
        Key("checksum", "checksum", TEXT),
        Key("checksum_right", "checksumRight", TEXT),
    )


@dataclass(frozen=True, slots=True)
class MinerBundle:
    """What a miner bundle holds: the profile as JSON text, None without one, and the files by name."""

    profile: str | None
    files: Mapping[str, bytes]

    def plan(self) -> list[tarball.Planned]:
        """What to create on the disk. Raises Malformed for names that lead out."""
        return tarball.plan(tarball.Entry(name, content) for name, content in self.files.items())


def checksum(data: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def make_profile(name: str, profile: str, password: str, nonces: bytes) -> Deploy:
    """An encrypted profile. Raises UsageError for what is no JSON, or a name that may name no folder."""
    _check_own(name, profile)
    data = stim.seal_stim(password, profile.encode(), tarball.END, nonces)
    return Deploy(type=PROFILE, name=name, data=data, checksum=checksum(data))


def make_plain_profile(name: str, profile: str) -> Deploy:
    """A profile that is not encrypted by itself."""
    _check_own(name, profile)
    data = profile.encode()
    return Deploy(type=PROFILE, name=name, data=data, checksum=checksum(data))


def make_miner(
    name: str,
    files: Mapping[str, bytes],
    profile: str | None,
    password: str,
    nonces: bytes,
    mtime_s: int,
    type: str = MINER,
) -> Deploy:
    """A miner, with its profile or without. Raises UsageError."""
    _check_own(name, PLACEHOLDER if profile is None else profile)
    tarball.plan(tarball.Entry(path) for path in files)
    config = PLACEHOLDER if profile is None else profile
    data = stim.seal_stim(password, config.encode(), tarball.write_rootfs(files, mtime_s), nonces)
    return Deploy(type=type, name=name, data=data, checksum=checksum(data))


def verify(bundle: Deploy) -> None:
    """Raises Malformed unless the checksum is that of the data, as exact text."""
    if not hmac.compare_digest(
        checksum(bundle.data or b"").encode(), bundle.checksum.encode("utf-8", "replace")
    ):
        raise Malformed("Deploy.checksum", None, "checksum mismatch")


def open_profile(bundle: Deploy, password: str) -> str:
    """The profile's JSON text, of either form. Raises DecodeError, or UsageError for an empty password."""
    verify(bundle)
    data = bundle.data or b""
    config = data if data[:1] in (b"{", b"[") else stim.open_stim(password, data)[0]
    text = go_json.decode_utf8(config)
    go_json.read(text, "profile")
    return text


def open_miner(bundle: Deploy, password: str, strictness: Strictness = SAFE) -> MinerBundle:
    """Profile and files of a miner or full bundle. Raises DecodeError, or UsageError for an empty password."""
    verify(bundle)
    config, rootfs = stim.open_stim(password, bundle.data or b"")
    profile: str | None = go_json.decode_utf8(config)
    if not profile or (strictness.real_profile and profile == PLACEHOLDER):
        profile = None
    return MinerBundle(profile, tarball.read_rootfs(rootfs))


def inspect(bundle: Deploy) -> Summary:
    """What a bundle is, as far as it shows."""
    data = bundle.data or b""
    form = "json" if data[:1] in (b"{", b"[") else "stim"
    if form == "stim":
        try:
            read_container(stim.MAGIC, data)
        except DecodeError:
            form = "unknown"
    right = "yes" if bundle.checksum == checksum(data) else "no"
    return Summary(
        type=bundle.type,
        name=bundle.name,
        form=form,
        bytes=len(data),
        checksum=bundle.checksum,
        checksum_right=right,
    )


def write_stream(bundle: Deploy) -> str:
    """The form of a bundle in a file: one JSON object and a newline."""
    found = BundleFile(type=bundle.type, name=bundle.name, data=bundle.data, checksum=bundle.checksum)
    return found.encode() + "\n"


def read_stream(text: str) -> Deploy:
    """The bundle of a file; nothing but types is checked. Raises Malformed."""
    found = BundleFile.decode(text)
    return Deploy(type=found.type, name=found.name, data=found.data, checksum=found.checksum)


def _check_own(name: str, profile: str) -> None:
    try:
        check_bundle_name(name)
        go_json.read(profile, "profile")
    except Malformed as error:
        raise UsageError(str(error)) from None
