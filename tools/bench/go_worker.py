"""The Go programs as workers: their command lines, and which go-libp2p is in them."""

from __future__ import annotations

import subprocess

from tools.interop_peers.building import SECOND, ensure_built


def command(transport: str) -> list[str]:
    """Serves and runs clients with no limits of its own. Raises `PeerMissing` where it cannot be built."""
    return [
        str(ensure_built()),
        "serve",
        "--transport",
        "tcp" if transport == "tls" else transport,
        "--security",
        "tls" if transport == "tls" else "noise",
        "--unlimited",
        "--timeout",
        "0",
    ]


def second_command(transport: str) -> list[str]:
    """The program that tells whether the first one is to blame. Raises `PeerMissing` where it cannot be built."""
    return [str(ensure_built(SECOND)), "--transport", transport]


def version() -> str:
    """Of go-libp2p."""
    told = subprocess.run([str(ensure_built()), "version"], check=True, capture_output=True, text=True)
    return told.stdout.strip().removeprefix("go-libp2p ")
