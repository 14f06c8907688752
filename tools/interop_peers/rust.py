"""Programs in Rust: a rust-libp2p node, and gossipsub routers of single releases. Built once, outside `make test`.

Their manifests name exact versions of libp2p and no registry; what these need is resolved when they are built, in a copy
under the build folder. All share one folder of compiled crates.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.interop_peers.building import BUILD, FOLDER, MESSAGE_LETTERS, PeerMissing

SOURCE: Final = FOLDER / "rust"
WORK: Final = BUILD / "rust"
BUILD_S: Final = 3600
RELEASES: Final = ("0.49.2", "0.49.3", "0.49.4")
"""Of libp2p-gossipsub: before, between and after the repairs of a PRUNE's backoff."""
_PINNED: Final = "0.49.4"


@dataclass(frozen=True, slots=True)
class RustProgram:
    """The crate in ``folder``, whose binary becomes ``name``; ``gossipsub`` is the release put into its manifest."""

    name: str
    folder: str
    crate: str
    gossipsub: str = ""

    @property
    def binary(self) -> Path:
        return WORK / self.name

    @property
    def ready(self) -> bool:
        """Whether the binary is there and as new as its sources."""
        if not self.binary.exists():
            return False
        built = self.binary.stat().st_mtime
        sources = (SOURCE / self.folder / "Cargo.toml", SOURCE / self.folder / "src" / "main.rs")
        return all(each.stat().st_mtime <= built for each in sources)


NODE: Final = RustProgram("rust-node", "node", "rust-peer")
GOSSIP: Final = {each: RustProgram(f"rust-gossip-{each}", "gossip", "rust-gossip", each) for each in RELEASES}


def found(program: RustProgram) -> Path:
    """The binary if it was built. Nothing is built for a test: it takes minutes. Raises `PeerMissing`."""
    if not program.binary.exists():
        raise PeerMissing(f"{program.name} is not built: `make rust-peers` builds it where there is cargo")
    return program.binary


def ensure_built(program: RustProgram) -> Path:
    """Build it unless it is there and new enough. Raises `PeerMissing`."""
    if program.ready:
        return program.binary
    cargo = shutil.which("cargo")
    if cargo is None:
        raise PeerMissing(f"{program.name} is missing, and so is the `cargo` command that would build it")
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.ready:
            _build(program, cargo)
    return program.binary


def _build(program: RustProgram, cargo: str) -> None:
    copy = WORK / "crates" / program.name
    (copy / "src").mkdir(parents=True, exist_ok=True)
    manifest = (SOURCE / program.folder / "Cargo.toml").read_text()
    if program.gossipsub:
        manifest = manifest.replace(f'"={_PINNED}"', f'"={program.gossipsub}"')
    (copy / "Cargo.toml").write_text(manifest)
    shutil.copyfile(SOURCE / program.folder / "src" / "main.rs", copy / "src" / "main.rs")
    target = WORK / "target"
    command = [cargo, "build", "--release", "--quiet"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    try:
        subprocess.run(
            command, cwd=copy, env=environment, check=True, capture_output=True, text=True, timeout=BUILD_S
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())[-MESSAGE_LETTERS:]
        raise PeerMissing(f"{program.name} cannot be built: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(f"building {program.name} took over {BUILD_S} s") from error
    unfinished = program.binary.with_name(f"{program.name}.new")
    shutil.copy2(target / "release" / program.crate, unfinished)
    unfinished.touch()
    unfinished.rename(program.binary)


def main() -> None:
    """Build all of them, or say of each why not: what needs them will be skipped."""
    for program in (*GOSSIP.values(), NODE):
        try:
            ensure_built(program)
        except PeerMissing as reason:
            print(f"rust-peers: {reason}: its tests will be skipped", file=sys.stderr)


if __name__ == "__main__":
    main()
