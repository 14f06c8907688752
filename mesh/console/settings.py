"""`mesh config`: show, path, set."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption

if TYPE_CHECKING:
    from mesh.config import Loaded

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("path")
def show_path(path: FolderOption = None) -> None:
    """Print where the configuration file is, whether it exists or not."""
    from mesh.config import FILE_NAME, data_folder

    say(str(data_folder(path) / FILE_NAME))


@app.command("show")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print every setting in force."""
    from mesh.config import load

    loaded = load(path)
    if json:
        say_json(_as_object(loaded, origin))
    elif sys.stdout is not None and sys.stdout.isatty():
        _print_table(loaded, origin)
    else:
        for key, value, source in _rows(loaded):
            say(f"{key} = {value}  # {source}" if origin else f"{key} = {value}")


@app.command("set")
def set_(
    key: Annotated[str, typer.Argument(help="Dotted name, such as network.listen.")],
    value: Annotated[str, typer.Argument(help="A TOML value; plain words need no quotes.")],
    path: FolderOption = None,
) -> None:
    """Check a value and write it into config.toml; comments stay."""
    from mesh.config import FILE_NAME, data_folder, document
    from mesh.config.sections import every_setting
    from mesh.console.addresses import ADDRESS_KEYS, parse_address

    typed = document.parse_value(key, value)
    if key in ADDRESS_KEYS and isinstance(typed, tuple):
        for text in typed:
            parse_address(text, key)
    document.set_value(data_folder(path) / FILE_NAME, key, typed)
    say(f"{key} = {document.as_toml(dict(every_setting())[key], typed)}")


def _rows(loaded: Loaded) -> list[tuple[str, str, str]]:
    from mesh.config import document, value_of
    from mesh.config.sections import every_setting

    return [
        (key, document.as_toml(rule, value_of(loaded.config, key)), str(loaded.origins[key]))
        for key, rule in every_setting()
    ]


def _as_object(loaded: Loaded, origin: bool) -> dict[str, object]:
    from mesh.config import document, value_of
    from mesh.config.sections import every_setting

    sections: dict[str, dict[str, object]] = {}
    for key, rule in every_setting():
        value = document.in_words(rule, value_of(loaded.config, key), sizes=False)
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = (
            {"value": value, "origin": str(loaded.origins[key])} if origin else value
        )
    return dict(sections)


def _print_table(loaded: Loaded, origin: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", box=None)
    if origin:
        table.add_column("origin")
    for key, value, source in _rows(loaded):
        style = "" if loaded.is_default(key) else "bold"
        cells = (key, value, source) if origin else (key, value)
        table.add_row(*(Text(cell, style=style, overflow="fold") for cell in cells))
    Console().print(table)
