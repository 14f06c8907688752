"""What the README shows of `mesh demo` is what it does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
VARYING = re.compile(r"0x[0-9a-f]{8}\.\.\.|block [0-9]+|[0-9]+\.[0-9]+ s\b|purchase (?:paid|unknown)")
"""Transactions, their blocks, times, and how much of a payment the buyer had found out when its seller was gone."""

BEAM_VARYING = re.compile(
    r"processes, .*|relay (?:one|two)|after [0-9]+ MiB|(?<=relay one): .*|(?<=relay two): .*|[0-9]+\.[0-9]+ s\b"
)
"""Where it runs, which relay was chosen, when it ended and how that was noticed, and times."""


@pytest.mark.timeout(300)
def test_the_marketplace_demonstration_does_what_is_shown(tmp_path: Path) -> None:
    command, _, shown = re.findall(r"```console\n\$ (mesh demo market)(\n)(.*?)```", README, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert VARYING.sub("...", done.stdout) == VARYING.sub("...", shown)


@pytest.mark.timeout(300)
def test_the_demonstration_of_beam_does_what_is_shown(tmp_path: Path) -> None:
    command, shown = re.findall(r"```console\n\$ (mesh demo beam)\n(.*?)```", README, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert BEAM_VARYING.sub("...", done.stdout) == BEAM_VARYING.sub("...", shown)
