"""What a worker may run: programs and their parameters, written down by the operator in a TOML file.

    [xmrig]
    command = ["/usr/bin/xmrig", "--threads={threads}", "--url", "{pool}"]
    [xmrig.parameters.threads]
    type = "integer"
    minimum = 1
    maximum = 16
    default = 2

A command that comes over the wire names a program and gives values for its parameters. It never gives a program, an
option, an environment variable or a line for a shell: values go into arguments whole, within the bounds written here.
"""

from __future__ import annotations

import json
import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesh.errors import ConfigError, UsageError

MAX_TEXT: Final = 256
MAX_CONFIG_CHARS: Final = 64 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
FIGURES: Final = ("hashrate", "shares", "rejected")
_PARAMETER_KEYS: Final = frozenset({"type", "minimum", "maximum", "default", "pattern", "choices"})
_PROGRAM_KEYS: Final = frozenset(
    {"command", "folder", "environment", "parameters", "figures", "algorithm", "pool", "threads"}
)

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a value has to be. ``kind`` is `integer`, `number` or `text`; text never begins with a hyphen."""

    kind: str
    minimum: float | None = None
    maximum: float | None = None
    default: Value | None = None
    pattern: re.Pattern[str] | None = None
    choices: tuple[str, ...] = ()

    def accept(self, name: str, value: object) -> Value:
        """The value, checked. Raises `UsageError`."""
        if self.kind == "text":
            return self._text(name, value)
        wanted = (int,) if self.kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise UsageError(f"parameter {name} has to be {'an' if self.kind[0] == 'i' else 'a'} {self.kind}")
        if self.minimum is not None and value < self.minimum:
            raise UsageError(f"parameter {name} has to be at least {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise UsageError(f"parameter {name} has to be at most {self.maximum:g}")
        return value

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_TEXT:
            raise UsageError(f"parameter {name} has to be printable text of at most {MAX_TEXT} characters")
        if value.startswith("-"):
            raise UsageError(f"parameter {name} must not begin with a hyphen")
        if self.choices and value not in self.choices:
            raise UsageError(f"parameter {name} has to be one of {', '.join(self.choices)}")
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            raise UsageError(f"parameter {name} does not have the form that the operator asks for")
        return value


@dataclass(frozen=True, slots=True)
class Program:
    """One entry of the file. ``figures`` are expressions with a number in the first group; the last match counts."""

    name: str
    command: tuple[str, ...]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    figures: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    algorithm: str = ""
    pool: str = ""
    threads: str = ""

    def arguments(self, values: Mapping[str, Value]) -> list[str]:
        """The command with these values in it."""
        return [each.format_map(dict(values)) for each in self.command]

    def fill(self, config: str) -> dict[str, Value]:
        """A value for each parameter, from the JSON text of a configuration or from the defaults. Raises `UsageError`."""
        given = _object_of(config)
        for name in given:
            if name not in self.parameters:
                raise UsageError(f"{self.name} has no parameter {str(name)[:40]!r}")
        filled: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if name in given:
                filled[name] = parameter.accept(name, given[name])
            elif parameter.default is not None:
                filled[name] = parameter.default
            else:
                raise UsageError(f"{self.name} needs a value for the parameter {name}")
        return filled


def _object_of(config: str) -> dict[str, Any]:
    """What a configuration says; null says nothing."""
    if len(config) > MAX_CONFIG_CHARS:
        raise UsageError(f"a configuration has at most {MAX_CONFIG_CHARS} characters")
    try:
        value = json.loads(config or "null")
    except (ValueError, RecursionError):
        raise UsageError("the configuration is no JSON") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError("the configuration is no JSON object")
    value.pop("id", None)
    return value


def load_programs(path: Path | None) -> dict[str, Program]:
    """All programs of a file; none when there is no file to read. Raises `ConfigError`."""
    if path is None:
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"lethean.programs {path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"lethean.programs {path}: {error}") from None
    programs = {}
    for name, entry in entries.items():
        try:
            programs[name] = _program(name, entry)
        except ValueError as error:
            raise ConfigError(f"lethean.programs {path}: {name}: {error}") from None
    return programs


def _program(name: str, entry: Any) -> Program:
    if NAME.fullmatch(name) is None or not isinstance(entry, dict):
        raise ValueError("a program is a table with a short plain name")
    _refuse_unknown(entry, _PROGRAM_KEYS)
    command = entry.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        raise ValueError("command has to be a list of strings: the program and its arguments")
    parameters = {each: _parameter(each, rule) for each, rule in _table(entry, "parameters").items()}
    for part in command:
        for _, reference, form, conversion in string.Formatter().parse(part):
            if reference is None:
                continue
            if reference not in parameters or form or conversion:
                raise ValueError(f"command uses {{{reference}}}, which is no parameter")
    if "{" in command[0]:
        raise ValueError("the program itself cannot be a parameter")
    figures = _table(entry, "figures")
    _refuse_unknown(figures, frozenset(FIGURES))
    threads = str(entry.get("threads", ""))
    if threads and threads not in parameters:
        raise ValueError(f"threads names {threads}, which is no parameter")
    return Program(
        name,
        tuple(command),
        Path(entry["folder"]) if "folder" in entry else None,
        {str(key): str(value) for key, value in _table(entry, "environment").items()},
        parameters,
        {each: _expression(pattern) for each, pattern in figures.items()},
        str(entry.get("algorithm", "")),
        str(entry.get("pool", "")),
        threads,
    )


def _parameter(name: str, rule: Any) -> Parameter:
    if not name.isidentifier() or not isinstance(rule, dict):
        raise ValueError(f"parameter {name} has to be a table with a plain name")
    _refuse_unknown(rule, _PARAMETER_KEYS)
    kind = rule.get("type")
    if kind not in ("integer", "number", "text"):
        raise ValueError(f"the type of parameter {name} has to be integer, number or text")
    pattern = rule.get("pattern")
    made = Parameter(
        kind,
        rule.get("minimum"),
        rule.get("maximum"),
        None,
        None if pattern is None else _expression(pattern),
        tuple(map(str, rule.get("choices", ()))),
    )
    if "default" not in rule:
        return made
    try:
        default = made.accept(name, rule["default"])
    except UsageError as error:
        raise ValueError(f"its default: {error}") from None
    return Parameter(kind, made.minimum, made.maximum, default, made.pattern, made.choices)


def _table(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} has to be a table")
    return value


def _refuse_unknown(entry: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in entry:
        if key not in known:
            raise ValueError(f"unknown key {key}")


def _expression(pattern: object) -> re.Pattern[str]:
    try:
        return re.compile(str(pattern))
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
