"""The Go peer's binary: found, or built once when there is a Go toolchain."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
BINARY = FOLDER / "build" / "peer"
BUILD_S = 900
MESSAGE_LETTERS = 400


class PeerMissing(Exception):  # noqa: N818 - a condition of the machine, not a fault
    """There is no binary and none can be built here; the message names what is missing."""


def ensure_built() -> Path:
    """The binary, built if it is missing. Processes that ask at the same time build it once.

    Raises `PeerMissing`.
    """
    if BINARY.exists():
        return BINARY
    go = shutil.which("go")
    if go is None:
        raise PeerMissing(f"{_relative(BINARY)} is missing, and so is the `go` command that would build it")
    BINARY.parent.mkdir(exist_ok=True)
    with open(BINARY.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not BINARY.exists():
            _build(go)
    return BINARY


def _build(go: str) -> None:
    unfinished = BINARY.with_suffix(".new")
    command = [go, "build", "-mod=readonly", "-o", str(unfinished), "."]
    try:
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True, timeout=BUILD_S)
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:MESSAGE_LETTERS]
        raise PeerMissing(f"{_relative(BINARY)} is missing, and building it failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(f"{_relative(BINARY)} is missing, and building it took over {BUILD_S} s") from error
    unfinished.rename(BINARY)


def _relative(path: Path) -> str:
    return str(path.relative_to(FOLDER.parent.parent))
