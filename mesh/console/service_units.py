"""What keeps a daemon running on each system, as text: a systemd unit, a launchd agent, a Windows task."""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape

from mesh.errors import UsageError

Kind = Literal["systemd", "launchd", "windows"]

NAME: Final = "mesh"
LABEL: Final = "mesh.daemon"
RESTART_S: Final = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """A daemon to keep up: its command line, the folder it works in, the account (of a system's unit; empty for the
    caller's own), and whether it belongs to the system or to a person."""

    command: Sequence[str]
    folder: Path
    account: str = ""
    system: bool = False


def render(kind: Kind, unit: Unit) -> str:
    """The file's text. Raises `UsageError` for arguments that no such file can hold."""
    for each in (*unit.command, str(unit.folder), unit.account):
        if not each.isprintable():
            raise UsageError(f"{each!r} holds characters that no service file can")
    return {"systemd": _systemd, "launchd": _launchd, "windows": _windows}[kind](unit)


def _systemd(unit: Unit) -> str:
    lines = [
        "[Unit]",
        "Description=mesh peer-to-peer node",
        "After=network.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=simple",
        f"ExecStart={' '.join(map(_systemd_word, unit.command))}",
        f"WorkingDirectory={_systemd_path(unit.folder)}",
        "Restart=always",
        f"RestartSec={RESTART_S}",
        "KillSignal=SIGTERM",
        "LimitNOFILE=65536",
        "UMask=0077",
    ]
    if unit.system and unit.account:
        lines.insert(lines.index("Type=simple") + 1, f"User={unit.account}")
    if unit.system:
        lines += ["NoNewPrivileges=yes", "StandardOutput=journal", "StandardError=journal"]
    wanted = "multi-user.target" if unit.system else "default.target"
    return "\n".join([*lines, "", "[Install]", f"WantedBy={wanted}", ""])


def _systemd_word(text: str) -> str:
    """An argument as systemd.service(5) quotes it: specifiers and variables are taken as they stand."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'


def _systemd_path(path: Path) -> str:
    """A folder's setting has no quotes; it is taken whole to the end of the line."""
    return str(path).replace("%", "%%")


def _launchd(unit: Unit) -> str:
    logs = str(unit.folder / "daemon.log")
    described = {
        "Label": LABEL,
        "ProgramArguments": list(unit.command),
        "WorkingDirectory": str(unit.folder),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": RESTART_S,
        "Umask": 0o077,
        "StandardOutPath": logs,
        "StandardErrorPath": logs,
        **({"UserName": unit.account} if unit.system and unit.account else {}),
    }
    return plistlib.dumps(described, sort_keys=False).decode()


def _windows(unit: Unit) -> str:
    program, *arguments = unit.command
    trigger = "BootTrigger" if unit.system else "LogonTrigger"
    account = unit.account or ("S-1-5-18" if unit.system else "")
    principal = f"<UserId>{escape(account)}</UserId>" if account else "<GroupId>S-1-5-32-545</GroupId>"
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>mesh peer-to-peer node</Description></RegistrationInfo>
  <Triggers><{trigger}><Enabled>true</Enabled></{trigger}></Triggers>
  <Principals><Principal id="Author">{principal}<RunLevel>LeastPrivilege</RunLevel></Principal></Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(program)}</Command>
      <Arguments>{escape(subprocess.list2cmdline(arguments))}</Arguments>
      <WorkingDirectory>{escape(str(unit.folder))}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""
