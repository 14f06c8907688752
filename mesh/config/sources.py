"""Where settings come from: defaults, profile, file, environment, flags; the later wins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mesh.config.beam import ALIASES, VARIABLES, refusal, setting_text
from mesh.config.profiles import profile_named
from mesh.config.rules import settings_of
from mesh.config.sections import SECTIONS, Config, every_setting, value_of
from mesh.config.values import Setting, near
from mesh.errors import ConfigError, StorageError

Layer = Literal["default", "profile", "file", "environment", "flag"]

FILE_NAME = "config.toml"
PATH_VARIABLE = "MESH_PATH"
PREFIX = "MESH_"
NOT_SETTINGS = frozenset({"MESH_DEBUG"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Which layer set a value, and where in it: ``config.toml:12``, ``MESH_LOG_LEVEL``, ``--listen``."""

    layer: Layer
    place: str = ""

    def __str__(self) -> str:
        return self.place or self.layer


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the origin of every value by dotted key, and the file that was looked for."""

    config: Config
    origins: Mapping[str, Origin]
    file: Path

    def is_default(self, key: str) -> bool:
        """Whether nobody chose this value."""
        return self.origins[key].layer == "default"


def load(
    path: str | Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    profile: str | None = None,
) -> Loaded:
    """Read all layers for the data folder ``path`` (else ``MESH_PATH``, else the user's data folder).

    ``flags`` maps dotted keys to values; text is understood as in the environment, None means "not given".
    A missing file is an empty one. Anything unknown or out of range is a `ConfigError` that says where it is.
    """
    environment = os.environ if environ is None else environ
    folder, folder_origin = _folder(path, environment)
    file = folder / FILE_NAME
    values: dict[str, object] = {"node.path": folder}
    origins = {key: Origin("default") for key, _ in every_setting()} | {"node.path": folder_origin}
    rules = dict(every_setting())
    layers = (
        _from_profile(profile),
        _from_file(file),
        _from_aliases(environment),
        _from_environment(environment),
        _from_flags(flags or {}),
    )
    for entries in layers:
        for key, raw, origin in entries:
            if key not in rules:
                raise _fault(origin, f"unknown setting {key}{near(key, list(rules))}")
            if key == "node.path":
                raise _fault(origin, f"node.path cannot be set here; use {PATH_VARIABLE} or --path")
            values[key] = _typed(rules[key], key, raw, origin)
            origins[key] = origin
    return Loaded(_build(values), origins, file)


def data_folder(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The data folder: ``path``, else ``MESH_PATH``, else the place this system has for user data."""
    return _folder(path, os.environ if environ is None else environ)[0]


def updated(config: Config, key: str, value: object) -> Config:
    """A copy with one value changed and checked."""
    rules = dict(every_setting())
    if key not in rules:
        raise ConfigError(f"unknown setting {key}{near(key, list(rules))}")
    values = {name: value_of(config, name) for name in rules}
    return _build(values | {key: value})


def read_file(file: Path) -> str:
    """The text of a configuration file; empty when there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error


def parse_file(text: str, file: Path) -> dict[str, Any]:
    """The tables of a configuration file; damage is a `ConfigError` with its line."""
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        cause = str(error)
        found = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)", cause)
        line = 0 if found is None else int(found[1] or len(text.splitlines()))
        reason = cause if found is None else cause[: found.start()] + cause[found.end() :]
        place = f"{file}:{line}" if line else str(file)
        raise ConfigError(f"{place}: not valid TOML: {reason[:1].lower()}{reason[1:]}") from None


def line_of(text: str, key: str) -> int | None:
    """The line of a TOML text on which a dotted key is set, as far as plain reading can tell."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if header := re.fullmatch(r"\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?", bare):
            table = re.sub(r"\s*\.\s*", ".", header[1]).replace('"', "")
            if table == key:
                return number
        elif assignment := re.match(r"""(["'\w.\s-]+?)\s*=""", bare):
            name = re.sub(r"\s*\.\s*", ".", assignment[1]).replace('"', "").replace("'", "")
            full = f"{table}.{name}" if table else name
            if full == key or full.startswith(key + ".") or key.startswith(full + "."):
                return number
    return None


Entries = Iterator[tuple[str, object, Origin]]


def _from_profile(profile: str | None) -> Entries:
    if profile is not None:
        for key, value in profile_named(profile).values.items():
            yield key, value, Origin("profile", f"profile {profile}")


def _from_file(file: Path) -> Entries:
    text = read_file(file)
    for section, table in parse_file(text, file).items():
        keys = list(table) if isinstance(table, dict) else []
        if section not in SECTIONS or not isinstance(table, dict):
            origin = _file_origin(file, text, section)
            if section in SECTIONS:
                raise _fault(origin, f"[{section}] must be a table of settings")
            raise _fault(origin, f"unknown section {section}{_hint_for_section(section, keys)}")
        for key, value in table.items():
            dotted = f"{section}.{key}"
            yield dotted, value, _file_origin(file, text, dotted)


def _from_environment(environ: Mapping[str, str]) -> Entries:
    names = {PREFIX + key.replace(".", "_").upper(): key for key, _ in every_setting()}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or variable == PATH_VARIABLE:
            continue
        origin = Origin("environment", variable)
        if variable in names:
            yield names[variable], environ[variable], origin
        elif (hint := near(variable, list(names), alike=0.8)) or _names_a_section(variable):
            raise _fault(origin, f"unknown setting{hint}")


def _from_aliases(environ: Mapping[str, str]) -> Entries:
    """Beam's own variables; those of this program win over them."""
    for variable in VARIABLES:
        text = environ.get(variable)
        if text is None:
            continue
        if reason := refusal(variable, text):
            raise _fault(Origin("environment", variable), reason)
        if variable in ALIASES:
            yield ALIASES[variable], setting_text(variable, text), Origin("environment", variable)


def _from_flags(flags: Mapping[str, object]) -> Entries:
    rules = dict(every_setting())
    for key, value in flags.items():
        if value is not None:
            rule = rules.get(key)
            flag = rule.flag if rule and rule.flag else "--" + key.rpartition(".")[2].replace("_", "-")
            yield key, value, Origin("flag", flag)


def _folder(path: str | Path | None, environ: Mapping[str, str]) -> tuple[Path, Origin]:
    if path is not None:
        return Path(path).expanduser().absolute(), Origin("flag", "--path")
    if named := environ.get(PATH_VARIABLE):
        return Path(named).expanduser().absolute(), Origin("environment", PATH_VARIABLE)
    from platformdirs import user_data_path

    return user_data_path("mesh", appauthor=False), Origin("default")


def _typed(rule: Setting, key: str, raw: object, origin: Origin) -> object:
    spoken = origin.layer in ("environment", "flag") and isinstance(raw, str)
    try:
        return rule.from_text(str(raw)) if spoken else rule.accept(raw)
    except ValueError as error:
        raise _fault(origin, f"{key}: {error}") from None


def _build(values: Mapping[str, object]) -> Config:
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        given = {key: values[f"{name}.{key}"] for key in settings_of(section) if f"{name}.{key}" in values}
        sections[name] = section(**given)
    return Config(**sections)


def _fault(origin: Origin, text: str) -> ConfigError:
    """What is wrong and where; a wrong flag is the caller's fault and exits like other usage errors."""
    error = ConfigError(f"{origin}: {text}")
    if origin.layer == "flag":
        error.exit_status = 2
    return error


def _file_origin(file: Path, text: str, key: str) -> Origin:
    line = line_of(text, key)
    return Origin("file", str(file) if line is None else f"{file}:{line}")


def _hint_for_section(section: str, keys: list[str]) -> str:
    homes = [key for key, _ in every_setting() if key.partition(".")[2] == section]
    if not homes and (hint := near(section, list(SECTIONS))):
        return hint
    homes = homes or [key for key, _ in every_setting() if key.partition(".")[2] in keys]
    return f" (did you mean {homes[0]}?)" if homes else ""


def _names_a_section(variable: str) -> bool:
    return variable.removeprefix(PREFIX).partition("_")[0].lower() in SECTIONS
