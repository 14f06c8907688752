"""Logging: text or JSON lines on stderr, a level for each subsystem, and a brake on what peers make us write.

Loggers are the standard library's, named by module: subsystem ``network`` is logger ``mesh.network``.
Importing this module changes nothing; `configure` installs one handler on the ``mesh`` logger, and calling it
again replaces that handler.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from mesh.config.values import LOG_LEVELS
from mesh.errors import ConfigError

ROOT = "mesh"
LIMIT = 5
INTERVAL_S = 10.0
REMEMBERED = 1024

_RESERVED = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "suppressed"}


def configure(
    level: str = "warning",
    format: str = "text",
    levels: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    stream: TextIO | None = None,
) -> None:
    """Send what mesh logs to ``stream`` (stderr) from ``level`` up; ``levels`` overrides it by subsystem."""
    if format not in ("text", "json"):
        raise ConfigError(f"log format {format!r} is not one of text, json")
    chosen = {subsystem: _number(name) for subsystem, name in dict(levels).items()}
    least = _number(level)
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.set_name(ROOT)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger(ROOT)
    for old in [present for present in root.handlers if present.get_name() == ROOT]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.propagate = False
    for name in _subsystem_loggers():
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.setLevel(least)
    for subsystem, number in chosen.items():
        _logger(subsystem).setLevel(number)


def set_level(subsystem: str, level: str) -> None:
    """Change the level of a subsystem while the node runs; the empty name stands for everything else."""
    _logger(subsystem).setLevel(_number(level))


def levels() -> dict[str, str]:
    """The levels in force: ``""`` for everything, then each subsystem that has its own."""
    named = {"": logging.getLogger(ROOT)} | {
        name.removeprefix(ROOT + "."): logging.getLogger(name) for name in _subsystem_loggers()
    }
    return {
        name: logging.getLevelName(logger.level).lower() for name, logger in named.items() if logger.level
    }


def printable(text: str) -> str:
    """Text in which a peer's line breaks and control characters cannot look like further log lines."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z WARNING network.swarm: message``, a traceback in the lines after it."""

    def format(self, record: logging.LogRecord) -> str:
        subsystem = record.name.removeprefix(ROOT + ".")
        line = f"{_instant(record)} {record.levelname} {subsystem}: {printable(record.getMessage())}"
        line += "".join(f" {name}={printable(str(value))}" for name, value in _extras(record).items())
        if suppressed := getattr(record, "suppressed", 0):
            line += f" (suppressed {suppressed} like it)"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, what was passed as ``extra``, and the error if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update(_extras(record))
        if suppressed := getattr(record, "suppressed", 0):
            fields["suppressed"] = suppressed
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


@dataclass(slots=True)
class _Repeats:
    """How often one message came in the current interval."""

    since: float
    passed: int = 0
    suppressed: int = 0


class RepeatFilter(logging.Filter):
    """Lets the same message of a logger through ``limit`` times an interval, then counts.

    Messages are the same when logger, level and template are: the arguments, which a peer chooses, do not
    count. The first one of a later interval says how many were suppressed. Our own faults (``error`` and
    above) always pass.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.limit = limit
        self.interval_s = interval_s
        self._clock = clock
        self._repeats: OrderedDict[tuple[str, int, str], _Repeats] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        now = self._clock()
        key = (record.name, record.levelno, str(record.msg))
        repeats = self._repeats.get(key)
        if repeats is None:
            repeats = self._repeats[key] = _Repeats(now)
            if len(self._repeats) > REMEMBERED:
                self._repeats.popitem(last=False)
        self._repeats.move_to_end(key)
        if now - repeats.since >= self.interval_s:
            if repeats.suppressed:
                record.suppressed = repeats.suppressed
            repeats.since, repeats.passed, repeats.suppressed = now, 0, 0
        if repeats.passed >= self.limit:
            repeats.suppressed += 1
            return False
        repeats.passed += 1
        return True


def _logger(subsystem: str) -> logging.Logger:
    return logging.getLogger(f"{ROOT}.{subsystem}" if subsystem else ROOT)


def _subsystem_loggers() -> list[str]:
    return sorted(name for name in logging.Logger.manager.loggerDict if name.startswith(ROOT + "."))


def _number(level: str) -> int:
    if level not in LOG_LEVELS:
        raise ConfigError(f"log level {level!r} is not one of {', '.join(LOG_LEVELS)}")
    return int(getattr(logging, level.upper()))


def _instant(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _RESERVED}
