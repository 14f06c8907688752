"""py-libp2p as a peer: one pinned version in a virtual environment of its own, made when it is first asked for."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tools.interop_peers.building import PeerMissing

VERSION = "0.8.1"
FOLDER = Path(__file__).parent / "build" / "py-libp2p"
PYTHON = FOLDER / "bin" / "python"
WORKER = Path(__file__).parent / "py_libp2p_worker.py"
INSTALL_S = 900
_ASK = "from importlib.metadata import version; print(version('libp2p'))"
MESSAGE_LETTERS = 400


def command(transport: str) -> list[str]:
    """Noise or TLS and yamux over TCP, or QUIC."""
    if transport not in ("tcp", "tls", "quic"):
        raise PeerMissing(f"py-libp2p is not run over {transport}")
    return [str(PYTHON), str(WORKER), "--transport", transport]


def ensure_installed() -> None:
    """Make the environment unless the wanted version is in it. Raises `PeerMissing`."""
    if _installed() == VERSION:
        return
    try:
        venv.create(FOLDER, clear=True, with_pip=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, f"libp2p=={VERSION}"], check=True, capture_output=True, text=True, timeout=INSTALL_S
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())[-MESSAGE_LETTERS:]
        raise PeerMissing(f"libp2p=={VERSION} cannot be installed: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"libp2p=={VERSION} cannot be installed with {sys.executable}: {error}") from error


def _installed() -> str | None:
    if not PYTHON.exists():
        return None
    told = subprocess.run([str(PYTHON), "-c", _ASK], check=False, capture_output=True, text=True)
    return told.stdout.strip() or None
