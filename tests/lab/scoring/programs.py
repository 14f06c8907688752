"""`mesh` as processes that begin quickly: forked from one that has loaded it, then moved to their place.

What runs is what `python -m mesh` runs, in a process of its own. Only the second or so that loading takes is saved, which
counts where hundreds of nodes are started.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from mesh.lab.delay_line import end_with_parent

PRELOADED: Final = ["tests.lab.scoring.preloaded"]
LOOK_S: Final = 0.05
_NEW_MOUNTS: Final = 0x00020000
_NEW_NETWORK: Final = 0x40000000
_MS_BIND: Final = 0x1000
_MS_SLAVE: Final = 0x80000 | 0x4000

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Program:
    """A run of `mesh` with these arguments: in the network ``namespace`` unless that is empty, with ``hosts`` in place of
    the hosts file, and a clock that is ``ahead_s``. What it writes goes to the files ``out`` and ``log``."""

    def __init__(
        self,
        arguments: Sequence[str],
        out: Path,
        log: Path,
        *,
        namespace: str = "",
        hosts: Path | None = None,
        ahead_s: float = 0.0,
    ) -> None:
        self._process: ForkServerProcess = _context.Process(
            target=_become, args=(list(arguments), str(out), str(log), namespace, hosts, ahead_s)
        )
        self.out = out
        out.write_text("")

    async def start(self) -> None:
        """Begin. Not in a thread: two that look whether processes have ended take each other's answers."""
        self._process.start()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    async def ended(self, within_s: float) -> int | None:
        """Its exit status once it has ended; None if it has not in time."""
        deadline = time.monotonic() + within_s
        while (status := self._process.exitcode) is None:
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(LOOK_S)
        return status

    async def says(self, line: str, within_s: float) -> bool:
        """Whether it writes a line before it ends or the time is over."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and self.status is None:
            if line in self.out.read_text().splitlines():
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def stop(self, within_s: float) -> None:
        """End it by a signal, else by force."""
        if self.status is None:
            self._process.terminate()
            if await self.ended(within_s) is None:
                self._process.kill()
        await self.ended(within_s)
        self._process.join()
        self._process.close()


def _become(
    arguments: list[str], out: str, log: str, namespace: str, hosts: Path | None, ahead_s: float
) -> None:
    end_with_parent()
    if namespace:
        _enter(namespace, hosts)
    for path, descriptor in ((out, 1), (log, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    for key in [each for each in os.environ if each.startswith("MESH_")]:
        del os.environ[key]
    if ahead_s:
        _be_ahead(ahead_s)
    from mesh.console.application import run

    status = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _enter(namespace: str, hosts: Path | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    _check(libc.setns(place, _NEW_NETWORK), f"setns {namespace}")
    os.close(place)
    if hosts is not None:
        _check(libc.unshare(_NEW_MOUNTS), "unshare")
        _check(libc.mount(b"none", b"/", None, _MS_SLAVE, None), "mount /")
        _check(libc.mount(str(hosts).encode(), b"/etc/hosts", None, _MS_BIND, None), "mount hosts")


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), what)


def _be_ahead(seconds: float) -> None:
    plain, plain_ns = time.time, time.time_ns
    time.time = lambda: plain() + seconds
    time.time_ns = lambda: plain_ns() + int(seconds * 1e9)
