"""Size and names of modules and functions, and what may not stand in them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("mesh", "protocol_specs", "tools", "fuzz", "tests")
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
LONG_MODULES: dict[str, str] = {}
"""Path to the reason why it stays in one piece. A generated module is as long as its schema makes it."""
LONG_FUNCTIONS: dict[str, str] = {}
"""`path:function` to the reason why it stays in one piece."""
VAGUE = frozenset(["utils", "util", "common", "helpers", "helper", "misc", "base", "core", "types", "shared"])


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "build" not in path.parts)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def generated(path: Path) -> bool:
    return path.read_text().startswith("# GENERATED")


def test_modules_are_short() -> None:
    long = {
        named(path)
        for path in modules(*SOURCES)
        if len(path.read_text().splitlines()) > MAX_MODULE_LINES and not generated(path)
    }
    assert long == set(LONG_MODULES), "more than 500 lines, and not listed with a reason (or listed in vain)"


def test_functions_are_short() -> None:
    long = set()
    for path in modules("mesh", "protocol_specs", "tools", "fuzz"):
        if generated(path):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.add(f"{named(path)}:{node.name}")
    assert long == set(LONG_FUNCTIONS), "more than 60 lines, and not listed with a reason (or listed in vain)"


def test_names_say_what_is_inside() -> None:
    vague = [named(path) for path in modules(*SOURCES) if VAGUE & {path.stem, path.parent.name}]
    assert not vague


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        named(path)
        for path in modules("mesh", "protocol_specs", "tools", "fuzz")
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_every_public_class_of_the_api_is_documented() -> None:
    silent = [
        f"{name}:{node.name}"
        for name in ("node.py", "errors.py", "network/stream.py", "network/connection.py", "network/swarm.py")
        for node in ast.parse((ROOT / "mesh" / name).read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not silent


def test_only_the_supervisor_catches_everything() -> None:
    """`except BaseException` that raises again is clean-up, not catching."""
    broad = set()
    for path in modules("mesh"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and catches_all(node):
                broad.add(named(path))
    assert broad <= {"mesh/network/scope.py"}


def catches_all(handler: ast.ExceptHandler) -> bool:
    names = (
        {each.id for each in ast.walk(handler.type) if isinstance(each, ast.Name)} if handler.type else {""}
    )
    again = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(names & {"", "Exception", "BaseException"}) and not again


def test_only_the_console_prints() -> None:
    for path in modules("mesh"):
        if path.is_relative_to(ROOT / "mesh" / "console"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Name) and node.id == "print"), named(path)


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files belong to the project is not known")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Absolute paths of one machine, and hosts that packages were fetched from, mean nothing elsewhere."""
    slash = "/"
    machine = re.compile(
        rf"(?<![\w.:$}}/-])(?:{slash}work|{slash}home{slash}\w+|{slash}root|{slash}Users){slash}[\w.]"
        r"|files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org|static\.crates\.io|proxy\.golang\.org"
        r"|--(?:extra-)?index-url\s+\S|--find-links\s+\S"
    )
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{named(path)}: {match[0]}" for match in machine.finditer(text)]
    assert not found
