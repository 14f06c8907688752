"""The Go modules beside the first one build from what they name: none was left behind when that one changed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tools.interop_peers.building import FOLDER

GO = shutil.which("go")


@pytest.mark.skipif(GO is None, reason="NO GO MODULE WAS LOOKED AT: there is no Go toolchain")
def test_the_later_pubsub_has_the_modules_of_the_peer() -> None:
    command = [str(GO), "list", "-mod=readonly", "-modfile=pubsub17/go.mod", "-deps", "."]
    listed = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    remedy = (
        "in tools/interop_peers: cp go.mod go.sum pubsub17/; "
        "go mod edit -require=github.com/libp2p/go-libp2p-pubsub@v0.17.0 pubsub17/go.mod; "
        "go mod tidy -modfile=pubsub17/go.mod"
    )
    assert listed.returncode == 0, f"{listed.stderr}\n{remedy}"
