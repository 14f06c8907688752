"""`mesh lethean bundle`: bundles as files, sealed under a password."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import JsonOption
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.protocols.lethean.messages import Deploy

MAX_FILE_BYTES = 256 * 1024 * 1024

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

PasswordOption = Annotated[
    str,
    typer.Option(
        envvar="MESH_BUNDLE_PASSWORD", help="Password, better given in the variable.", show_envvar=True
    ),
]
BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="File of a bundle.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the bundle.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files and folders of a miner.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to. [NAME.bundle]")] = None,
    profile: Annotated[str | None, typer.Option(metavar="JSON", help="A profile, or @FILE.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Leave a profile unsealed.")] = False,
    password: PasswordOption = "",
    json: JsonOption = False,
) -> None:
    """Make a bundle: a profile, or a miner with its files."""
    from mesh.apps.lethean.errands import make_bundle
    from mesh.apps.lethean.whole_file import write_whole
    from mesh.console.lethean_calls import files_in, json_in
    from mesh.protocols.lethean import bundle

    asked: dict[str, Any] = {"name": name, "plain": plain, "type": "miner" if files else "profile"}
    if profile is not None:
        asked["profile"] = json_in(profile, "--profile")
    if files:
        asked["files"] = files_in(files)
    if files or not plain:
        _want(password)
    made = make_bundle(asked, password)
    place = out if out is not None else Path(f"{name}.bundle")
    write_whole(place, bundle.write_stream(made), 0o600)
    _tell(json, made, place)


@app.command("inspect")
def inspect(file: BundleArgument, json: JsonOption = False) -> None:
    """Show what can be told of a bundle without its password."""
    _tell(json, _read(file), file)


@app.command("extract")
def extract(
    file: BundleArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to be made.")],
    password: PasswordOption = "",
    json: JsonOption = False,
) -> None:
    """Open a bundle and put its files, and its profile as profile.json, into a new folder."""
    from mesh.apps.lethean.deployments import create as create_folder
    from mesh.errors import StorageError
    from mesh.protocols.lethean import bundle
    from mesh.protocols.lethean.tarball import Planned

    made = _read(file)
    if made.type != bundle.PROFILE or (made.data or b"")[:1] not in (b"{", b"["):
        _want(password)
    plan: list[Planned] = []
    if made.type == bundle.PROFILE:
        profile: str | None = bundle.open_profile(made, password)
    else:
        opened = bundle.open_miner(made, password)
        profile = opened.profile
        plan = opened.plan()
    if profile is not None and not any(each.path == "profile.json" for each in plan):
        plan.append(Planned("profile.json", 0o600, profile.encode()))
    try:
        create_folder(plan, folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror or error}") from None
    names = [each.path for each in plan if each.content is not None]
    if json:
        say_json({"folder": str(folder), "files": names})
    else:
        for each in names:
            say(str(folder / each))


def _want(password: str) -> None:
    if not password:
        raise UsageError("a sealed bundle needs a password: set MESH_BUNDLE_PASSWORD, or give --password")


def _read(path: Path) -> Deploy:
    from mesh.apps.lethean.whole_file import read_whole
    from mesh.errors import StorageError
    from mesh.protocols.lethean import bundle

    data = read_whole(path, MAX_FILE_BYTES)
    if data is None:
        raise StorageError(f"{path}: no such file")
    return bundle.read_stream(data.decode(errors="replace"))


def _tell(as_json: bool, made: Deploy, place: Path) -> None:
    from mesh.protocols.lethean import bundle
    from mesh.telemetry.log import printable

    found: dict[str, Any] = json_module.loads(bundle.inspect(made).encode())
    if as_json:
        say_json({"file": str(place), **found})
        return
    say(f"file {place}")
    for label, value in found.items():
        say(f"{label} {printable(str(value))}")
