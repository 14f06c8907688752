"""Pure floors have no world: no loop, socket, clock, log or randomness of their own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MESH = Path(__file__).parents[2] / "mesh"
BANNED = frozenset(
    ["asyncio", "socket", "ssl", "time", "random", "secrets", "logging", "threading", "construct"]
)
ALLOWED: dict[str, set[str]] = {}
"""Module to the imports it may have all the same. There is no exception now; one needs its reason beside it."""
PURE = ["protocols", "codecs", "multiformats", "framing", "go_json", "identity"]


def imported(path: Path) -> set[str]:
    """Top-level packages a module imports, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("floor", PURE)
def test_a_pure_floor_imports_no_world(floor: str) -> None:
    for path in sorted((MESH / floor).rglob("*.py")):
        name = path.relative_to(MESH).as_posix()
        assert not imported(path) & BANNED - ALLOWED.get(name, set()), name


def test_no_exception_is_listed_in_vain() -> None:
    for name, modules in ALLOWED.items():
        assert (MESH / name).exists(), name
        assert modules <= imported(MESH / name), f"{name} no longer needs {modules}"


@pytest.mark.parametrize("floor", ["protocols", "codecs", "multiformats", "framing", "go_json"])
def test_pure_floors_draw_no_randomness(floor: str) -> None:
    """`os` would bring `urandom`; keys are made in `identity`, where `cryptography` draws them."""
    for path in sorted((MESH / floor).rglob("*.py")):
        assert not imported(path) & {"os", "uuid"}, path.name
