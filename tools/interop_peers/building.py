"""Programs written in Go: found, or built when missing or out of date, where there is a Go toolchain."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
BUILD = FOLDER / "build"
MESSAGE_LETTERS = 400


class PeerMissing(Exception):  # noqa: N818 - a condition of the machine, not a fault
    """There is no binary and none can be built here; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A Go program in ``folder``, a module or a package of the module above it, whose binary is put into the build
    folder under ``name``."""

    name: str
    folder: Path
    build_s: float
    flags: tuple[str, ...] = ()

    @property
    def binary(self) -> Path:
        return BUILD / self.name

    @property
    def ready(self) -> bool:
        """Whether the binary is there and no source was changed since it was built."""
        if not self.binary.exists():
            return False
        built = self.binary.stat().st_mtime
        module = self.folder if (self.folder / "go.mod").exists() else self.folder.parent
        sources = [*self.folder.glob("*.go"), module / "go.mod", module / "go.sum"]
        return all(source.stat().st_mtime <= built for source in sources)


PEER = GoProgram("peer", FOLDER, build_s=900)
SECOND = GoProgram("second", FOLDER / "second", build_s=900)
CURRENT = GoProgram("current", FOLDER / "current", build_s=900)
KUBO = GoProgram("ipfs", FOLDER / "kubo", build_s=1800, flags=("-trimpath", "-ldflags=-s -w"))
LETHEAN = GoProgram("lethean_peer", FOLDER.parent / "lethean_peer", build_s=300)
BINARY = PEER.binary


def ensure_built(program: GoProgram = PEER) -> Path:
    """The binary, built if it has to be. Processes that ask at the same time build it once.

    Without a Go toolchain, a binary that is older than its sources has to do. Raises `PeerMissing`.
    """
    if program.ready:
        return program.binary
    go = shutil.which("go")
    if go is None:
        if program.binary.exists():
            return program.binary
        raise PeerMissing(
            f"{_relative(program.binary)} is missing, and so is the `go` command that would build it"
        )
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f".{program.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.ready:
            _build(program, go)
    return program.binary


def _build(program: GoProgram, go: str) -> None:
    wanted = _relative(program.binary)
    unfinished = program.binary.with_suffix(".new")
    command = [go, "build", "-mod=readonly", *program.flags, "-o", str(unfinished), "."]
    try:
        subprocess.run(
            command, cwd=program.folder, check=True, capture_output=True, text=True, timeout=program.build_s
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:MESSAGE_LETTERS]
        raise PeerMissing(f"{wanted} has to be built, and building it failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(
            f"{wanted} has to be built, and building it took over {program.build_s:g} s"
        ) from error
    unfinished.touch()  # the linker keeps a binary that would be the same, and its time with it
    unfinished.rename(program.binary)


def _relative(path: Path) -> str:
    return str(path.relative_to(FOLDER.parent.parent))
