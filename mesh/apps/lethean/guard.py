"""Runs one program and ends it, with all that it started, when standard input ends: when the worker stops it or dies.

A process of its own between worker and program, run by file name with nothing but the standard library:
`python -I -S guard.py GRACE_S PROGRAM ARGUMENT...`. Its exit status is the program's, or 128 and the signal's number.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05


def main(arguments: list[str]) -> int:
    grace_s = float(arguments[0])
    follow = _follower()
    try:
        program = subprocess.Popen(
            arguments[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=follow
        )
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {arguments[1]}: {error}\n".encode(errors="replace"))
        return 127
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(program, grace_s))
    _wait(program)
    if program.poll() is None:
        _end(program, grace_s)
    _kill_group(program.pid, signal.SIGKILL)
    status = program.wait()
    return status if status >= 0 else 128 - status


def _follower() -> Callable[[], object] | None:
    """On Linux the program dies with this process, however that ends."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(program: subprocess.Popen[bytes]) -> None:
    """Return when the program has ended or standard input has."""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    while program.poll() is None:
        if selector.select(_POLL_S) and not os.read(0, 4096):
            return


def _end(program: subprocess.Popen[bytes], grace_s: float) -> None:
    _kill_group(program.pid, signal.SIGTERM)
    until = time.monotonic() + grace_s
    while program.poll() is None and time.monotonic() < until:
        time.sleep(_POLL_S)
    _kill_group(program.pid, signal.SIGKILL)


def _kill_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
