"""Agents as a TOML file names them, for `market.agents`.

    [[agent]]
    name = "upper"
    description = "Capital letters."
    price = 0.001
    capabilities = ["text"]
    command = ["tr", "a-z", "A-Z"]

In place of `command`: `url = "http://127.0.0.1:9000/work"`, or `python = "module:function"`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from mesh.apps.market.agents import Offer, check_offer, worker_of
from mesh.apps.market.work import CallableWorker, Worker, load_function
from mesh.errors import ConfigError, UsageError

MAX_FILE_BYTES: Final = 1024 * 1024
_KEYS: Final = frozenset(
    ["name", "description", "price", "image", "capabilities", "command", "url", "python"]
)


def read_agents(file: Path) -> list[tuple[Offer, Worker]]:
    """The agents of a file, with who does their work. Raises `ConfigError`."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        document = tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{file}: the agents cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None
    tables = document.get("agent", [])
    if len(data) > MAX_FILE_BYTES or set(document) - {"agent"} or not isinstance(tables, list):
        raise ConfigError(f"{file}: wants [[agent]] tables and nothing else, at most {MAX_FILE_BYTES} bytes")
    found = [_agent(file, number, each) for number, each in enumerate(tables, 1)]
    names = [offer.name for offer, _ in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"{file}: two agents have the same name")
    return found


def _agent(file: Path, number: int, table: Any) -> tuple[Offer, Worker]:
    where = f"{file}: agent {number}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: no table")
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(_KEYS))}")
    offer = Offer(
        _text(where, table, "name"),
        _text(where, table, "description"),
        _number(where, table, "price"),
        _text(where, table, "image"),
        _texts(where, table, "capabilities"),
        _texts(where, table, "command"),
        _text(where, table, "url"),
    )
    python = _text(where, table, "python")
    if python and (offer.command or offer.url):
        raise ConfigError(f"{where}: has one of command, url and python")
    try:
        check_offer(offer)
        return offer, CallableWorker(load_function(python)) if python else worker_of(offer)
    except (ConfigError, UsageError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _text(where: str, table: dict[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is text")
    return value


def _number(where: str, table: dict[str, Any], key: str) -> float:
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {key} is a number")
    return float(value)


def _texts(where: str, table: dict[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{where}: {key} is a list of texts")
    return tuple(value)
