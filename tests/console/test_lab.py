"""`mesh lab`: up, exec, down and matrix; skipped where no laboratory can be built."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.console.application import run
from mesh.lab import missing_ability, namespaces
from mesh.lab.abilities import REQUIRE, is_required

MESH = [sys.executable, "-m", "mesh", "lab"]


@pytest.fixture
def laboratory() -> Iterator[None]:
    if missing := missing_ability():
        if is_required():
            pytest.fail(f"{REQUIRE}=require, but {missing}")
        pytest.skip(f"NOTHING WAS TESTED BEHIND NATS: {missing}")
    yield
    assert not namespaces.named_own()


def test_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "kinds"]) == 0
    assert "symmetric           c     APDM  APDF" in capsys.readouterr().out


def test_an_unknown_kind_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "up", "carrier"]) == 2
    assert "choose from port-restricted" in capsys.readouterr().err


@pytest.mark.usefixtures("laboratory")
def test_up_exec_and_term() -> None:
    with subprocess.Popen([*MESH, "up", "c"], stdout=subprocess.PIPE, text=True) as kept:
        assert kept.stdout is not None
        shown = []
        while (line := kept.stdout.readline().strip()) != "ready":
            assert line
            shown.append(line.split())
        assert [place for place, _ in shown] == ["inet", "relay", "pub2", "natA", "homeA"]
        assert [name for _, name in shown] == [f"meshlab{kept.pid}-{place}" for place, _ in shown]
        inner = ["ip", "netns", "exec", shown[-1][1], "ip", "-br", "addr"]
        assert "192.168.1.10" in subprocess.run(inner, capture_output=True, text=True, check=True).stdout
        kept.terminate()
        assert kept.wait(10) == 0
        assert not set(namespaces.named_ours()) & {name for _, name in shown}


@pytest.mark.usefixtures("laboratory")
def test_exec_names_the_places_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "exec", "homeZ", "true"]) == 2
    assert "0 places are called 'homeZ'" in capsys.readouterr().err


@pytest.mark.usefixtures("laboratory")
def test_a_matrix_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    words = [*MESH, "matrix", "--kinds", "b", "--tries", "5", "sh", "-c", f"echo > {begun}; sleep 1"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as matrix:
        deadline = time.monotonic() + 20
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert any(f"meshlab{matrix.pid}-" in each for each in namespaces.named_ours())
        matrix.terminate()
        assert matrix.wait(20) == 130
        assert not any(f"meshlab{matrix.pid}-" in each for each in namespaces.named_ours())


@pytest.mark.usefixtures("laboratory")
def test_a_matrix_of_any_command(capsys: pytest.CaptureFixture[str]) -> None:
    script = 'case "$MESH_LAB_IP_A" in 11.3.1.2) $MESH_LAB_EXEC_B ip route get $MESH_LAB_IP_RELAY >&2;; *) false;; esac'
    arguments = ["--kinds", "b,v6", "--tries", "1", "--json", "sh", "-c", script]
    assert run(["lab", "matrix", *arguments]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert [(each["a"], each["b"], each["status"]) for each in trials] == [
        ("port-restricted", "port-restricted", 0),
        ("port-restricted", "v6only", 2),
        ("v6only", "port-restricted", 1),
        ("v6only", "v6only", 1),
    ]
    assert "via 192.168.1.1" in trials[0]["said"]


@pytest.mark.usefixtures("laboratory")
def test_what_takes_too_long_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "matrix", "--kinds", "b", "--tries", "1", "--timeout", "0.2", "sleep", "60"]) == 0
    words = capsys.readouterr().out
    assert "port-restricted - port-restricted 1: too long" in words
    assert words.splitlines()[-1].split() == ["port-restricted", "-", "port-restricted", "0/1"]


@pytest.mark.usefixtures("laboratory")
def test_a_matrix_that_was_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each pair in one order, in each variant; what the record has is not run again, and counts."""
    kept, ran = tmp_path / "trials.jsonl", tmp_path / "ran"
    script = f'echo "$MESH_LAB_A $MESH_LAB_TRANSPORT" >> {ran}; echo direct 0.$MESH_LAB_TRANSPORT'
    arguments = ["--kinds", "b,o", "--unordered", "--vary", "a=x,y", "--vary", "transport=5,7", "--jobs", "2"]
    arguments += ["--record", str(kept), "--markdown"]
    assert run(["lab", "matrix", *arguments, "--tries", "1", "sh", "-c", script]) == 0
    assert sorted(ran.read_text().splitlines()) == sorted(["x 5", "x 7", "y 5", "y 7"] * 3)
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(lines[:-1]) + "\n")
    ran.write_text("")
    capsys.readouterr()
    assert run(["lab", "matrix", *arguments, "--tries", "2", "sh", "-c", script]) == 0
    assert len(ran.read_text().splitlines()) == 13
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert table[0] == "| A - B | a=x transport=5 | a=x transport=7 | a=y transport=5 | a=y transport=7 |"
    assert table[3].startswith("| port-restricted - open | 2/2 direct 2 (0.50 s) | 2/2 direct 2 (0.70 s) |")
    assert len(table) == 5


@pytest.mark.usefixtures("laboratory")
def test_what_is_no_record_or_variant_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "poem").write_text("roses are red\n")
    assert run(["lab", "matrix", "--record", str(tmp_path / "poem"), "true"]) == 2
    assert "is no record of a matrix" in capsys.readouterr().err
    for text in ("a", "a=", "a=1,,2", "a b=1", "a=1 2"):
        assert run(["lab", "matrix", "--vary", text, "true"]) == 2
        assert "is not NAME=VALUE" in capsys.readouterr().err
