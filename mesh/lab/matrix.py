"""One command for every pair of kinds: what any implementation makes of any two NATs.

A try is named by its kinds, its variant and its number; a record of them lets a run that was stopped go on.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from mesh.errors import UsageError
from mesh.lab.kinds import Kind
from mesh.lab.topology import RELAY, RELAY_IP, Lab, SitePlan

SAID_BYTES: Final = 400
ENDED_BYTES: Final = 100

Name = tuple[str, str, str, int]
"""Kinds of A and B, variant, number."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: kinds of A and B, which variant, which try, the command's exit status (None: it took too long and was
    ended), how long it took, how it says that it ended (the last line of its stdout: a word, and seconds if it likes),
    and the end of what it wrote to stderr."""

    a: str
    b: str
    number: int
    status: int | None
    seconds: float
    said: str
    variant: str = ""
    ended: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `failed` or `too long`."""
        return "too long" if self.status is None else "failed" if self.status else "ok"

    @property
    def name(self) -> Name:
        """What tells it from others."""
        return self.a, self.b, self.variant, self.number


@dataclass(frozen=True, slots=True)
class Matrix:
    """What to run: every ordered pair of ``kinds``, or with ``unordered`` each pair once, in each variant.

    ``variants`` gives for each name the values it takes; the command finds `MESH_LAB_<NAME>` in its environment.
    """

    kinds: Sequence[Kind]
    command: Sequence[str]
    tries: int
    timeout_s: float
    delay_ms: float = 0.0
    loss_per_mille: int = 0
    wan_accept: bool = False
    unordered: bool = False
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def pairs(self) -> list[tuple[Kind, Kind]]:
        """All of them, in order."""
        if self.unordered:
            return list(itertools.combinations_with_replacement(self.kinds, 2))
        return list(itertools.product(self.kinds, self.kinds))

    @property
    def variant_names(self) -> list[str]:
        """`transport=tcp a=go` for each; one empty name without variants."""
        each = [[f"{name}={value}" for value in values] for name, values in self.variants.items()]
        return [" ".join(words) for words in itertools.product(*each)]

    def names(self) -> Iterator[Name]:
        """Every try: the first of all pairs and variants, then the second."""
        for number in range(1, self.tries + 1):
            for (a, b), variant in itertools.product(self.pairs, self.variant_names):
                yield a.name, b.name, variant, number


def run_matrix(matrix: Matrix, *, jobs: int = 1, done: Collection[Name] = ()) -> Iterator[Trial]:
    """A new laboratory for each try that is not ``done``, ``jobs`` at a time. The command runs outside of it; its
    environment has, for each of RELAY, A and B, ``MESH_LAB_EXEC_<X>``, the words that run a program in there, and
    ``MESH_LAB_IP_<X>``, its address.

    Raises `LabError`.
    """
    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(jobs):
        places.put(place)

    def attempt(name: Name) -> Trial:
        place = places.get()
        try:
            return _attempt(matrix, name, f"matrix{place}x")
        finally:
            places.put(place)

    left = [each for each in matrix.names() if each not in done]
    with ThreadPoolExecutor(jobs) as pool:
        works = [pool.submit(attempt, each) for each in left]
        try:
            for work in as_completed(works):
                yield work.result()
        finally:
            for work in works:
                work.cancel()


def recorded(path: Path) -> list[Trial]:
    """The trials of a record, one JSON object a line; none where there is no file. Raises `UsageError`."""
    if not path.exists():
        return []
    try:
        return [Trial(**json.loads(line)) for line in path.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no record of a matrix: {error}") from None


def record(path: Path, trial: Trial) -> None:
    """Add a trial to a record."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(trial)) + "\n")


def _attempt(matrix: Matrix, name: Name, lab_name: str) -> Trial:
    a, b, variant, number = name
    kinds = {each.name: each for each in matrix.kinds}
    plans = [
        SitePlan(
            kinds[each],
            delay_ms=matrix.delay_ms,
            loss_per_mille=matrix.loss_per_mille,
            wan_accept=matrix.wan_accept,
        )
        for each in (a, b)
    ]
    with Lab(*plans, name=lab_name) as lab:
        environment = _environment(lab)
        for word in variant.split():
            key, _, value = word.partition("=")
            environment[f"MESH_LAB_{key.upper()}"] = value
        began = time.monotonic()
        status, ended, said = _run(matrix.command, environment, matrix.timeout_s)
        return Trial(a, b, number, status, round(time.monotonic() - began, 3), said, variant, ended)


def _environment(lab: Lab) -> dict[str, str]:
    places = {"RELAY": (RELAY, RELAY_IP)}
    places |= {site: (f"home{site}", lab.outer_ip(site)) for site in "AB"}
    found = dict(os.environ)
    for name, (place, ip) in places.items():
        found[f"MESH_LAB_EXEC_{name}"] = shlex.join(lab.command(place))
        found[f"MESH_LAB_IP_{name}"] = ip
    return found


def _run(
    command: Sequence[str], environment: dict[str, str], timeout_s: float
) -> tuple[int | None, str, str]:
    """Exit status, the last line of stdout and the last words of stderr; after its time the command and all it started
    are killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        try:
            told, said = process.communicate(timeout=timeout_s)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            status = None
            _end_group(process.pid)
            told, said = process.communicate()
        finally:
            _end_group(process.pid)
    lines = told.decode(errors="replace").strip().splitlines()
    ended = lines[-1][:ENDED_BYTES] if lines else ""
    return status, ended, said.decode(errors="replace")[-SAID_BYTES:].strip()


def _end_group(leader: int) -> None:
    """End what the command left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
