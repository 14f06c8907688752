"""`mesh simulate dht` and its reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.console.application import run
from mesh.simulation.figures import percentile, share, spread_of

SMALL = ["--peers", "40", "--lookups", "20", "--minutes", "1", "--seed", "7"]


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "dht", *SMALL]) == 0
    words = capsys.readouterr().out
    assert "... 40 nodes join\n" in words
    assert "engine nodes, 40 peers, seed 7\n" in words
    assert "success: 1.0" in words
    assert "MiB at most" in words


def test_json_is_reproducible_but_for_the_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for name in ("one.json", "two.json"):
        assert run(["simulate", "dht", *SMALL, "--json", "--report", str(tmp_path / name)]) == 0
        found.append(json.loads(capsys.readouterr().out))
        assert json.loads((tmp_path / name).read_text()) == found[-1]
    machines = [each.pop("machine") for each in found]
    assert json.dumps(found[0]) == json.dumps(found[1])
    assert found[0]["parameters"]["seed"] == 7
    assert machines[0]["seconds"] >= 0


def test_a_report_names_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("numpy")
    file = tmp_path / "report.md"
    assert run(["simulate", "dht", *SMALL, "--compare", "--alpha", "3", "--report", str(file)]) == 0
    report = file.read_text()
    command = report.split("`mesh ")[1].split("`")[0]
    assert "--alpha 3" in command
    again = tmp_path / "again.md"
    assert run([*command.split(), "--report", str(again)]) == 0
    cut = "## This run"
    assert again.read_text().split(cut)[0] == report.split(cut)[0]
    assert "## Both engines" in report
    assert "DIFFERS" in capsys.readouterr().out or "True" in report


def test_wrong_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["simulate", "dht", "--peers", "3"]) == 2
    assert "peers is 3, at least 8" in capsys.readouterr().err
    assert run(["simulate", "dht", "--engine", "other"]) == 2
    assert run(["simulate", "dht", *SMALL, "--report", str(tmp_path / "no" / "folder")]) == 3


def test_without_numpy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert run(["simulate", "dht", "--peers", "5000"]) == 2
    assert "mesh[sim]" in capsys.readouterr().err


def test_the_verb_loads_nothing_before_it_runs() -> None:
    program = (
        "import sys, mesh.console.application;"
        "print([name for name in sys.modules if name.startswith(('mesh.simulation', 'numpy'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"


def test_figures() -> None:
    assert percentile([1, 2, 3, 4], 50) == 2
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5], 99) == 5
    spread = spread_of([3.0, 1.0, 2.0])
    assert (spread.samples, spread.mean, spread.median, spread.p99, spread.most) == (3, 2.0, 2.0, 3.0, 3.0)
    assert spread_of([]).samples == 0
    assert (share(1, 2), share(0, 0)) == (0.5, 1.0)
