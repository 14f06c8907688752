"""`mesh service`: have the system start the daemon and start it again whenever it ends."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from mesh.console.output import say
from mesh.console.service_units import LABEL, NAME, Kind, Unit, render
from mesh.console.setup import FolderOption
from mesh.errors import StorageError, UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

COMMAND_S: Final = 60.0
DEFAULT_KIND: Final[dict[str, Kind]] = {"darwin": "launchd", "win32": "windows"}

KindArgument = Annotated[Kind | None, typer.Argument(help="Which system's. [this one's]")]
SystemOption = Annotated[
    bool, typer.Option("--system", help="For the whole machine, started with it; needs its administrator.")
]
AccountOption = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Account that a --system service runs as. [yours]")
]
RestOption = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="ARG", help="Argument of `mesh daemon`, once for each: --with=--agent."),
]


@app.command("print")
def print_(
    kind: KindArgument = None,
    arguments: RestOption = None,
    system: SystemOption = False,
    account: AccountOption = "",
    path: FolderOption = None,
) -> None:
    """Print what `install` would write."""
    say(render(kind or _own_kind(), _unit(path, arguments, system, account)).rstrip("\n"))


@app.command("install")
def install(
    kind: KindArgument = None,
    arguments: RestOption = None,
    system: SystemOption = False,
    account: AccountOption = "",
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it now as well.")] = True,
    path: FolderOption = None,
) -> None:
    """Keep `mesh daemon` running with this data folder: now, after a crash, and when the machine starts."""
    chosen = kind or _own_kind()
    unit = _unit(path, arguments, system, account)
    text = render(chosen, unit)
    unit.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if chosen == "windows":
        _install_task(text, start)
        return
    file = _file(chosen, system)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}") from None
    say(f"wrote {file}")
    if chosen == "systemd":
        _systemctl(system, "daemon-reload")
        _systemctl(system, "enable", *(["--now"] if start else []), file.name)
        if not system:
            say("to have it run while you are not logged in: loginctl enable-linger")
    elif start:
        _run("launchctl", "bootstrap", _domain(system), str(file))


@app.command("uninstall")
def uninstall(kind: KindArgument = None, system: SystemOption = False) -> None:
    """Stop the service and remove it; the data folder stays."""
    chosen = kind or _own_kind()
    if chosen == "windows":
        _run("schtasks", "/End", "/TN", NAME, check=False)
        _run("schtasks", "/Delete", "/F", "/TN", NAME)
        return
    file = _file(chosen, system)
    if not file.exists():
        raise UsageError(f"no service is installed at {file}")
    if chosen == "systemd":
        _systemctl(system, "disable", "--now", file.name)
    else:
        _run("launchctl", "bootout", f"{_domain(system)}/{LABEL}", check=False)
    file.unlink()
    say(f"removed {file}")
    if chosen == "systemd":
        _systemctl(system, "daemon-reload")


def _own_kind() -> Kind:
    return DEFAULT_KIND.get(sys.platform, "systemd")


def _unit(path: Path | None, arguments: Sequence[str] | None, system: bool, account: str) -> Unit:
    from mesh.config import data_folder

    folder = data_folder(path).resolve()
    command = [sys.executable, "-m", "mesh", "daemon", "--path", str(folder), *(arguments or ())]
    return Unit(command, folder, account or (getpass.getuser() if system else ""), system)


def _file(kind: Kind, system: bool) -> Path:
    """Where the unit lies."""
    if kind == "systemd":
        configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        folder = Path("/etc/systemd/system") if system else Path(configuration) / "systemd" / "user"
        return folder / f"{NAME}.service"
    folder = Path("/Library/LaunchDaemons") if system else Path.home() / "Library" / "LaunchAgents"
    return folder / f"{LABEL}.plist"


def _install_task(text: str, start: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "task.xml"
        file.write_text(text, encoding="utf-16")
        _run("schtasks", "/Create", "/F", "/TN", NAME, "/XML", str(file))
    if start:
        _run("schtasks", "/Run", "/TN", NAME)


def _systemctl(system: bool, *arguments: str) -> None:
    _run("systemctl", *([] if system else ["--user"]), *arguments)


def _domain(system: bool) -> str:
    return "system" if system or sys.platform == "win32" else f"gui/{os.getuid()}"


def _run(*command: str, check: bool = True) -> None:
    """Run a program of the system's; what it says goes into the error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except FileNotFoundError:
        raise UsageError(
            f"{command[0]} is not here; `mesh service print` shows what to install by hand"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{' '.join(command)}: did not end within {COMMAND_S:g} s") from None
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise UsageError(f"{' '.join(command)}: {said}")
