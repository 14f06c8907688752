"""Bundles that are taken: profiles to be kept, files of miners unpacked into a folder of their name.

A bundle is written beside its place and moved there whole, so a refused one leaves nothing and a running miner keeps the
files it has open. Files are not executable unless the peer has the grant for that.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from mesh.apps.lethean.miners import Profiles
from mesh.errors import DecodeError, MeshError, PeerError, StorageError
from mesh.protocols.lethean import bundle
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.messages import Deploy
from mesh.protocols.lethean.names import check_bundle_name
from mesh.protocols.lethean.tarball import Planned

MAX_DEPLOYMENTS: Final = 1000
STEP: Final = "Worker.handleDeploy"
_PLAIN: Final = 0o600
_EXECUTABLE: Final = 0o700

T = TypeVar("T")


class Deployments:
    """The folder that miners are unpacked into; ``folder`` may be missing yet, None takes no files."""

    def __init__(self, folder: Path | None, strictness: Strictness = SAFE) -> None:
        self.folder = folder
        self._strictness = strictness
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="deployments")

    def close(self) -> None:
        """Wait for what is being unpacked."""
        self._executor.shutdown()

    async def open_profile(self, asked: Deploy, password: str) -> str:
        """The JSON text of a profile. Raises `PeerError` in the words of a Go node."""
        self._check_name(asked)
        self._check_sum(asked, "ExtractProfileBundle", "profile")
        try:
            return await self._beside(lambda: bundle.open_profile(asked, password))
        except DecodeError as error:
            if error.field == "profile":
                raise PeerError(f"{STEP}: invalid profile data JSON: {error.reason}") from None
            raise PeerError(
                f"{STEP}: failed to extract profile bundle: ExtractProfileBundle: {error.reason}"
            ) from None

    async def unpack(
        self, asked: Deploy, password: str, profiles: Profiles | None, *, executable: bool
    ) -> Path:
        """Put a miner's files into a folder of its name, and keep its profile if it has one. Raises `PeerError`."""
        folder = self.folder
        if folder is None:
            raise PeerError(f"{STEP}: this worker has no folder for miners")
        self._check_name(asked)
        self._check_sum(asked, "ExtractMinerBundle", "miner")

        def work() -> bundle.MinerBundle:
            opened = bundle.open_miner(asked, password, self._strictness)
            _replace(folder, asked.name, opened.plan(), _EXECUTABLE if executable else _PLAIN)
            return opened

        try:
            opened = await self._beside(work)
        except DecodeError as error:
            raise PeerError(
                f"{STEP}: failed to extract miner bundle: ExtractMinerBundle: {error.reason}"
            ) from None
        except StorageError as error:
            raise PeerError(f"{STEP}: failed to extract miner bundle: {error}") from None
        if opened.profile is not None and profiles is not None:
            try:
                profiles.save(asked.name, opened.profile)
            except MeshError:
                return folder / asked.name
        return folder / asked.name

    def _check_name(self, asked: Deploy) -> None:
        try:
            check_bundle_name(asked.name)
        except DecodeError as error:
            raise PeerError(f"{STEP}: invalid bundle name: {error.reason}") from None

    def _check_sum(self, asked: Deploy, step: str, noun: str) -> None:
        try:
            bundle.verify(asked)
        except DecodeError:
            raise PeerError(
                f"{STEP}: failed to extract {noun} bundle: {step}: checksum mismatch - bundle may be corrupted"
            ) from None

    async def _beside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _replace(folder: Path, name: str, plan: Sequence[Planned], file_mode: int) -> None:
    """Create what is planned and move it to its place. Raises `StorageError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = folder / name
        if not place.exists() and sum(1 for _ in folder.iterdir()) >= MAX_DEPLOYMENTS:
            raise StorageError(f"{folder}: {MAX_DEPLOYMENTS} miners are there already; remove some")
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder, ignore_cleanup_errors=True) as made:
            fresh, old = Path(made) / "fresh", Path(made) / "old"
            create(plan, fresh, file_mode)
            if place.exists():
                place.rename(old)
            fresh.rename(place)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from None


def create(plan: Sequence[Planned], destination: Path, file_mode: int = _PLAIN) -> None:
    """Make a new folder with what is planned in it. Raises `OSError`."""
    destination.mkdir(mode=0o700)
    for each in plan:
        path = destination / each.path
        if each.content is None:
            path.mkdir(mode=0o700)
        else:
            with open(path, "xb", opener=lambda name, flags: _open_private(name, flags, file_mode)) as file:
                file.write(each.content)


def _open_private(name: str, flags: int, mode: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), mode)
