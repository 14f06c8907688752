"""The configuration file as people edit it: one for a profile, one value changed, comments kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

from mesh.config.profiles import profile_named
from mesh.config.rules import settings_of
from mesh.config.sections import SECTIONS, Config, every_setting, value_of
from mesh.config.sources import parse_file, read_file
from mesh.config.values import KIB, MIB, Setting, near
from mesh.errors import ConfigError, StorageError, UsageError

_FOLDER_KEY = "node.path"


def render(profile: str | None = None, chosen: Mapping[str, object] | None = None) -> str:
    """A commented file: what ``profile`` and ``chosen`` change is active, the rest shows its default."""
    import tomlkit

    active = dict(profile_named(profile).values if profile is not None else {}) | dict(chosen or {})
    plain = Config()
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of mesh. A line that starts with # shows a default."))
    if profile is not None:
        document.add(tomlkit.comment(f"Profile {profile}: {profile_named(profile).summary}."))
    for name, section in SECTIONS.items():
        table = tomlkit.table()
        for key, rule in settings_of(section).items():
            dotted = f"{name}.{key}"
            if dotted == _FOLDER_KEY:
                continue
            table.add(tomlkit.nl())
            for line in wrap(_help(rule), 96):
                table.add(tomlkit.comment(line))
            if dotted in active:
                table.add(key, _item(rule, active[dotted]))
            else:
                table.add(tomlkit.comment(f"{key} = {as_toml(rule, value_of(plain, dotted))}"))
        document.add(tomlkit.nl())
        document.add(name, table)
    return tomlkit.dumps(document)


def refuse_existing(file: Path) -> None:
    """A configuration file that exists is not made anew."""
    if os.path.lexists(file):
        raise ConfigError(f"{file}: exists already and is not overwritten; change it with mesh config set")


def parse_value(key: str, text: str) -> object:
    """What ``text`` means as the value of ``key``: TOML, where plain words and ``64 MiB`` need no quotes."""
    import tomllib

    rules = dict(every_setting())
    if key not in rules:
        raise UsageError(f"unknown setting {key}{near(key, list(rules))}")
    if key == _FOLDER_KEY:
        raise UsageError("node.path cannot be set in the file that lies in it; use MESH_PATH or --path")
    rule = rules[key]
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    try:
        if isinstance(value, str) and value == text:
            return rule.from_text(value)
        return rule.accept(value)
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from None


def set_value(file: Path, key: str, value: object) -> None:
    """Write a checked ``value`` into ``file``, in the place of its commented default if there is one."""
    import tomlkit

    before = read_file(file)
    section, _, name = key.partition(".")
    present = parse_file(before, file).get(section, {})
    if not isinstance(present, dict):
        raise ConfigError(f"{file}: [{section}] must be a table of settings")
    document = tomlkit.parse(before if name in present else _uncommented(before, section, name))
    if section not in document:
        document.add(section, tomlkit.table())
    document[section][name] = _item(dict(every_setting())[key], value)
    after = tomlkit.dumps(document)
    parse_file(after, file)
    write_atomically(file, after)


def write_atomically(file: Path, text: str | bytes) -> None:
    """Replace ``file`` as a whole, readable by its owner alone; a crash leaves the old or the new text."""
    temporary, file = "", Path(os.path.realpath(file))
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode() if isinstance(text, str) else text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise StorageError(f"{file}: cannot be written: {error.strerror}") from error


def as_toml(rule: Setting, value: object) -> str:
    """A value as the right side of a line in the file."""
    import tomlkit

    item = _item(rule, value)
    return '""' if item is None else tomlkit.item(item).as_string()


def in_words(rule: Setting, value: object, *, sizes: bool = True) -> object:
    """A value in the plain types of a file: sizes with their unit (or bytes), lists, tables."""
    match rule.kind:
        case "size" if sizes and isinstance(value, int):
            return _size(value)
        case "levels" if isinstance(value, tuple):
            return dict(value)
        case "list" if isinstance(value, tuple):
            return list(value)
        case "path":
            return None if value is None else str(value)
    return value


def _item(rule: Setting, value: object) -> object:
    import tomlkit

    plain = in_words(rule, value)
    if isinstance(plain, dict):
        table = tomlkit.inline_table()
        table.update(plain)
        return table
    return plain


def _uncommented(text: str, section: str, name: str) -> str:
    """The text with the commented default of one setting turned into a placeholder that can be assigned."""
    lines = text.splitlines(keepends=True)
    table = ""
    for index, line in enumerate(lines):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = header[1]
        elif table == section and re.match(rf"#\s*{re.escape(name)}\s*=", line):
            lines[index] = f"{name} = 0\n"
            break
    return "".join(lines)


def _size(size: int) -> object:
    for unit, factor in (("MiB", MIB), ("KiB", KIB)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return size


def _help(rule: Setting) -> str:
    if rule.choices:
        return f"{rule.help} One of {', '.join(json.dumps(choice) for choice in rule.choices)}."
    return rule.help
