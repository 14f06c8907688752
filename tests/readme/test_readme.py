"""The README is true: its programs run, its settings table is the code's, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.config import Config, value_of
from mesh.config.sections import every_setting
from mesh.console.application import run
from tools.settings_table import render

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXPECTED = [
    "b'alice heard: hello'\n",
    "/ip4/127.0.0.1/tcp/1 | connect | ",
    "True\nTrue\n",
    "7200\n()\n",
    "1\nb'hello' True\n",
    "bafybeidide6lpcdutn3we5vvypssfhlq2n265w6dygwj37fyeklhlmfi34\n1000000\n",
    "Changed(key='/tea/green', value=b'3')\n[('/tea/black', b'2'), ('/tea/green', b'3')] 0\n",
    "b'hello'\n",
    "True <Allowance 120 s, 131072 bytes each way> b'heard: hello'\n",
    "public autonat-v2 2\n",
    "digger-1 12.5\n",
    "inbound Are you there?\n",
    "upper True HELLO\n",
]


@pytest.mark.parametrize(("program", "expected"), list(zip(PROGRAMS, EXPECTED, strict=True)))
def test_every_program_runs(program: str, expected: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected)
    assert not done.stderr


def test_the_settings_table_is_the_codes() -> None:
    begin, end = "<!-- settings: begin (checked by tests/readme) -->\n", "<!-- settings: end -->"
    table = README.split(begin)[1].split(end)[0]
    assert table == render(), "run `python -m tools.settings_table`"


def test_the_table_names_every_setting() -> None:
    table = render()
    for key, _ in every_setting():
        assert f"`{key}`" in table
        value_of(Config(), key)


def test_every_command_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for verbs in re.findall(r"^\| `mesh ([a-z]+)((?: [a-z|\\-]+)?)", README, re.MULTILINE):
        verb, several = verbs
        for each in several.strip().replace("\\", "").split("|") if several.strip() else [""]:
            words = [verb, each] if each else [verb]
            assert run([*words, "--help"]) == 0, (words, capsys.readouterr().err)


def test_every_path_it_names_is_there() -> None:
    for path in re.findall(r"\]\(([a-z_./A-Z]+)\)", README):
        assert (ROOT / path).exists(), path
