"""`mesh simulate gossip` and its reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.console.application import run

SMALL = ["--peers", "30", "--seconds", "3", "--seed", "7"]


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "gossip", *SMALL]) == 0
    words = capsys.readouterr().out
    assert "... 30 nodes, 0 attackers\n" in words
    assert "30 nodes, seed 7, attack none\n" in words
    assert "  delivery ratio: 1.0\n" in words
    assert "attackers:" not in words
    assert "MiB at most" in words


def test_json_is_reproducible_but_for_the_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for name in ("one.json", "two.json"):
        assert run(["simulate", "gossip", *SMALL, "--json", "--report", str(tmp_path / name)]) == 0
        found.append(json.loads(capsys.readouterr().out))
        assert json.loads((tmp_path / name).read_text()) == found[-1]
    machines = [each.pop("machine") for each in found]
    assert json.dumps(found[0]) == json.dumps(found[1])
    assert found[0]["parameters"]["seed"] == 7
    assert found[0]["scores"] == {}
    assert machines[0]["seconds"] >= 0


@pytest.mark.parametrize(
    "options",
    [
        ["--attack", "spam", "--attackers", "0.1", "--rate", "2"],
        ["--attack", "eclipse", "--no-scores"],
        ["--loss", "0.1", "--churn", "0.5", "--scores", "--seeds", "2"],
        ["--partition", "1", "--latency", "40", "--size", "50", "--least", "6", "--most", "12"],
    ],
)
def test_a_report_names_its_command(options: list[str], tmp_path: Path) -> None:
    file, again = tmp_path / "report.md", tmp_path / "again.md"
    assert run(["simulate", "gossip", *SMALL, *options, "--report", str(file)]) == 0
    report = file.read_text()
    command = report.split("$ mesh ")[1].split("\n")[0]
    assert run([*command.split(), "--report", str(again)]) == 0
    cut = "## This run"
    assert again.read_text().split(cut)[0] == report.split(cut)[0]
    assert ("## Score settings" in report) == ("--no-scores" not in command)
    assert ("## Attackers" in report) == ("--attack" in options)
    assert ("## All seeds" in report) == ("--seeds" in options)


def test_wrong_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["simulate", "gossip", "--peers", "3"]) == 2
    assert "peers is 3, at least 8" in capsys.readouterr().err
    assert run(["simulate", "gossip", "--attack", "other"]) == 2
    assert run(["simulate", "gossip", *SMALL, "--report", str(tmp_path / "no" / "folder")]) == 3
