"""One command for every pair of kinds: what any implementation makes of any two NATs."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.lab.kinds import Kind
from mesh.lab.topology import RELAY, RELAY_IP, Lab, SitePlan

SAID_BYTES: Final = 400


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: kinds of A and B, which try, the command's exit status (None: it took too long and was ended), how long
    it took, and the end of what it wrote to stderr."""

    a: str
    b: str
    number: int
    status: int | None
    seconds: float
    said: str

    @property
    def verdict(self) -> str:
        """`ok`, `failed` or `too long`."""
        return "too long" if self.status is None else "failed" if self.status else "ok"


def run_matrix(
    kinds: Sequence[Kind],
    command: Sequence[str],
    *,
    tries: int,
    timeout_s: float,
    delay_ms: float,
    loss_per_mille: int,
    wan_accept: bool,
) -> Iterator[Trial]:
    """A new laboratory for each try of each ordered pair. The command runs outside of it; its environment has, for each
    of RELAY, A and B, ``MESH_LAB_EXEC_<X>``, the words that run a program in there, and ``MESH_LAB_IP_<X>``, its address.

    Raises `LabError`.
    """
    for a, b in itertools.product(kinds, repeat=2):
        for number in range(1, tries + 1):
            plans = [
                SitePlan(each, delay_ms=delay_ms, loss_per_mille=loss_per_mille, wan_accept=wan_accept)
                for each in (a, b)
            ]
            with Lab(*plans, name="matrix") as lab:
                began = time.monotonic()
                status, said = _run(command, _environment(lab), timeout_s)
                yield Trial(a.name, b.name, number, status, time.monotonic() - began, said)


def _environment(lab: Lab) -> dict[str, str]:
    places = {"RELAY": (RELAY, RELAY_IP)}
    places |= {site: (f"home{site}", lab.outer_ip(site)) for site in "AB"}
    found = dict(os.environ)
    for name, (place, ip) in places.items():
        found[f"MESH_LAB_EXEC_{name}"] = shlex.join(lab.command(place))
        found[f"MESH_LAB_IP_{name}"] = ip
    return found


def _run(command: Sequence[str], environment: dict[str, str], timeout_s: float) -> tuple[int | None, str]:
    """Exit status and last words; after its time the command and all it started are killed."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, said = process.communicate(timeout=timeout_s)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            status = None
            _end_group(process.pid)
            _, said = process.communicate()
        finally:
            _end_group(process.pid)
    return status, said.decode(errors="replace")[-SAID_BYTES:].strip()


def _end_group(leader: int) -> None:
    """End what the command left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
