"""The image of `mesh interop`: what its file copies is there, and its steps, done in a clean folder with an interpreter
of its own in place of the image, give a command that runs. No image is built: its base is not to be had everywhere."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "interop" / "Containerfile"
STEP_S = 600


def steps() -> list[tuple[str, str]]:
    """The instructions of the file with their arguments."""
    text = FILE.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def copies() -> list[tuple[list[str], str]]:
    """Sources and destination of each COPY."""
    found = [shlex.split(rest) for name, rest in steps() if name == "COPY"]
    return [(words[:-1], words[-1]) for words in found]


def copied(sources: list[str], destination: Path) -> None:
    """As COPY does it: a folder's content goes into the destination, files too where it ends in a slash."""
    for each in sources:
        source = ROOT / each
        if source.is_dir():
            shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            into = destination / source.name if destination.is_dir() else destination
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, into)


def entry() -> list[str]:
    (rest,) = [rest for name, rest in steps() if name == "ENTRYPOINT"]
    words: list[str] = json.loads(rest)
    return words


def test_what_the_container_file_names_is_there() -> None:
    assert [name for name, _ in steps()].count("FROM") == 1
    assert copies()
    for sources, _ in copies():
        for each in sources:
            assert (ROOT / each).exists(), each
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert entry()[0] in project["project"]["scripts"]
    (base,) = [rest for name, rest in steps() if name == "FROM"]
    assert f"python:{project['project']['requires-python'].removeprefix('>=')}" in base


@pytest.mark.long
@pytest.mark.timeout(2 * STEP_S)
def test_the_steps_of_the_container_file_give_a_command_that_runs(tmp_path: Path) -> None:
    work, interpreter = tmp_path / "work", tmp_path / "interpreter"
    work.mkdir()
    venv.create(interpreter, with_pip=True)
    found = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    found["PATH"] = f"{interpreter / 'bin'}{os.pathsep}{found['PATH']}"
    for name, rest in steps():
        if name == "COPY":
            *sources, destination = shlex.split(rest)
            copied(sources, work / destination)
        elif name == "RUN":
            subprocess.run(rest, shell=True, cwd=work, env=found, check=True, timeout=STEP_S)
    command = [str(interpreter / "bin" / entry()[0]), *entry()[1:]]
    done = subprocess.run(
        [*command, "--help"], cwd=tmp_path, env=found, check=True, capture_output=True, text=True, timeout=60
    )
    assert "IS_DIALER" in done.stdout
    unset = subprocess.run(command, cwd=tmp_path, env=found, check=False, capture_output=True, timeout=60)
    assert unset.returncode == 2
    assert b"must be set" in unset.stderr
