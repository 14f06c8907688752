"""The operator's file of programs, and what may come over the wire into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.apps.lethean.programs import MAX_TEXT, load_programs
from mesh.errors import ConfigError, UsageError

FILE = """
[digger]
command = ["/usr/bin/digger", "--threads={threads}", "--url", "{pool}"]
algorithm = "rx/0"
threads = "threads"

[digger.parameters.threads]
type = "integer"
minimum = 1
maximum = 16
default = 2

[digger.parameters.pool]
type = "text"
pattern = "[a-z.]+:[0-9]+"

[digger.figures]
hashrate = "speed ([0-9.]+)"
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "programs.toml"
    path.write_text(text)
    return path


def test_values_go_into_arguments_whole(tmp_path: Path) -> None:
    digger = load_programs(written(tmp_path))["digger"]
    values = digger.fill('{"pool":"pool.example:3333","threads":4}')
    assert digger.arguments(values) == ["/usr/bin/digger", "--threads=4", "--url", "pool.example:3333"]
    assert digger.arguments(digger.fill('{"pool":"p:1"}'))[1] == "--threads=2"


def test_the_id_of_a_profile_is_no_parameter(tmp_path: Path) -> None:
    assert load_programs(written(tmp_path))["digger"].fill('{"id":"p1","pool":"p:1"}')["pool"] == "p:1"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("null", "needs a value for the parameter pool"),
        ('{"pool":"p:1","threads":17}', "at most 16"),
        ('{"pool":"p:1","threads":0}', "at least 1"),
        ('{"pool":"p:1","threads":"4"}', "has to be an integer"),
        ('{"pool":"p:1","threads":true}', "has to be an integer"),
        ('{"pool":"p:1","threads":1.5}', "has to be an integer"),
        ('{"pool":"-p:1"}', "hyphen"),
        ('{"pool":"p:1; rm"}', "form that the operator asks for"),
        ('{"pool":"p:1\\n"}', "printable"),
        (f'{{"pool":"{"p" * MAX_TEXT}:1"}}', "printable text of at most"),
        ('{"pool":"p:1","command":["/bin/sh"]}', "no parameter 'command'"),
        ('{"pool":"p:1","LD_PRELOAD":"x"}', "no parameter 'LD_PRELOAD'"),
        ('["x"]', "no JSON object"),
        ("{", "no JSON"),
        (f'{{"pool":"{"p" * 70_000}"}}', "at most 65536 characters"),
        ("[" * 60_000, "no JSON"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, config: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        load_programs(written(tmp_path))["digger"].fill(config)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a]\n", "command has to be a list"),
        ('[a]\ncommand = "x"\n', "command has to be a list"),
        ('[a]\ncommand = ["{x}"]\n', "which is no parameter"),
        ('[a]\ncommand = ["{x}"]\n[a.parameters.x]\ntype="text"\n', "cannot be a parameter"),
        ('[a]\ncommand = ["b", "{x.y}"]\n[a.parameters.x]\ntype="text"\n', "which is no parameter"),
        ('[a]\ncommand = ["b"]\nshell = true\n', "unknown key shell"),
        ('[a]\ncommand = ["b"]\n[a.parameters.x]\ntype="list"\n', "has to be integer, number or text"),
        ('[a]\ncommand = ["b"]\n[a.parameters.x]\ntype="integer"\nmaximum=1\ndefault=2\n', "its default"),
        ('[a]\ncommand = ["b"]\n[a.figures]\nhashrate="("\n', "no regular expression"),
        ('[a]\ncommand = ["b"]\n[a.figures]\ntemperature="x"\n', "unknown key temperature"),
        ('["a b"]\ncommand = ["b"]\n', "short plain name"),
        ("[a\n", "programs.toml"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_programs(written(tmp_path, text))


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_programs(tmp_path / "none.toml")
    assert load_programs(None) == {}
