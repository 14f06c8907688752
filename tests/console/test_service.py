"""Service files are what their systems take, and hold the very command line; installing tells the system."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mesh.console.application import run
from mesh.console.service_units import Kind, Unit, render
from mesh.errors import UsageError

ODD = ("/opt/my python/bin/python", "-m", "mesh", "daemon", "--name", 'a"b %h $HOME \\ & <x>')
SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and a `systemctl` that writes down what it was told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "calls"
    fake = programs / "systemctl"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> "{log}"\n[ ! -e "{tmp_path}/broken" ] || {{ echo no bus >&2; exit 1; }}\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def calls(home: Path) -> list[str]:
    file = home / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_a_unit_is_installed_told_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = home / ".config" / "systemd" / "user" / "mesh.service"
    data = home / "data"
    assert run(["service", "install", "--path", str(data), "--with=--dht", "--with=server"]) == 0
    text = unit.read_text()
    assert f'ExecStart="{sys.executable}" "-m" "mesh" "daemon" "--path" "{data}" "--dht" "server"' in text
    assert "Restart=always\nRestartSec=5" in text
    assert "WantedBy=default.target" in text
    assert "User=" not in text
    assert data.is_dir()
    assert calls(home) == ["--user daemon-reload", "--user enable --now mesh.service"]
    assert run(["service", "uninstall"]) == 0
    assert not unit.exists()
    assert data.is_dir()
    assert calls(home)[2:] == ["--user disable --now mesh.service", "--user daemon-reload"]
    assert run(["service", "uninstall"]) == 2
    assert "no service is installed" in capsys.readouterr().err


def test_without_a_start_it_waits_for_the_next_one(home: Path) -> None:
    assert run(["service", "install", "systemd", "--no-start", "--path", str(home / "data")]) == 0
    assert calls(home)[-1] == "--user enable mesh.service"


def test_what_the_system_says_is_in_the_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "broken").touch()
    assert run(["service", "install", "--path", str(home / "data")]) == 2
    assert "systemctl --user daemon-reload: no bus" in capsys.readouterr().err


def test_a_system_without_the_program_is_told_what_else_to_do(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))
    assert run(["service", "install", "--path", str(home / "data")]) == 2
    assert "mesh service print" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["systemd", "launchd", "windows"])
def test_printing_changes_nothing(home: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["service", "print", kind, "--system", "--user", "agent", "--path", str(home / "data")]) == 0
    assert "agent" in capsys.readouterr().out
    assert not calls(home)
    assert not (home / "data").exists()


def test_launchd_reads_the_same_command() -> None:
    found = plistlib.loads(render("launchd", Unit(ODD, Path("/data"))).encode())
    assert tuple(found["ProgramArguments"]) == ODD
    assert found["KeepAlive"] is True
    assert found["RunAtLoad"] is True
    assert found["Label"] == "mesh.daemon"
    assert "UserName" not in found


def test_windows_reads_the_same_command() -> None:
    text = render("windows", Unit(ODD, Path("/data"))).replace('encoding="UTF-16"', "")
    task = ElementTree.fromstring(text)
    assert task.findtext(f".//{SPACE}Command") == ODD[0]
    assert task.findtext(f".//{SPACE}Arguments") == subprocess.list2cmdline(ODD[1:])
    assert task.find(f".//{SPACE}LogonTrigger") is not None
    assert task.findtext(f".//{SPACE}ExecutionTimeLimit") == "PT0S"


def test_systemd_takes_specifiers_and_variables_as_they_stand() -> None:
    text = render("systemd", Unit(ODD, Path("/my data/100%"), "agent", system=True))
    assert '"a\\"b %%h $$HOME \\\\ & <x>"' in text
    assert "WorkingDirectory=/my data/100%%" in text
    assert "User=agent" in text
    assert "WantedBy=multi-user.target" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze: no unit is verified")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    unit = tmp_path / "mesh.service"
    unit.write_text(
        render("systemd", Unit((sys.executable, "-m", "mesh", "daemon"), tmp_path, "root", system=True))
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert str(unit) not in done.stderr
    assert "mesh.service" not in done.stderr


@pytest.mark.parametrize("kind", ["systemd", "launchd", "windows"])
def test_a_line_end_in_an_argument_is_refused(kind: Kind) -> None:
    with pytest.raises(UsageError):
        render(kind, Unit(("mesh", "x\nExecStartPre=/bin/evil"), Path("/data")))
