"""`python -m tools.spec_compiler`: what is committed is what the schemas give."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol_specs.grammar import Message, field
from protocol_specs.module import Module
from tools.spec_compiler.__main__ import TARGET, main
from tools.spec_compiler.modules import generated_files, schema_hash


@pytest.fixture
def target(tmp_path: Path) -> Path:
    assert main(["--target", str(tmp_path)]) == 0
    return tmp_path


def test_the_committed_modules_are_current() -> None:
    assert main(["--check"]) == 0


def test_writing_is_repeatable(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name: path.read_text() for path in target.iterdir()} == generated_files()
    capsys.readouterr()
    assert main(["--target", str(target)]) == 0
    assert capsys.readouterr().out == ""


def test_check_finds_a_changed_file(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = target / "identify.py"
    path.write_text(path.read_text().replace("8192", "8193"))
    assert main(["--check", "--target", str(target)]) == 1
    assert "identify.py is not what its schema gives" in capsys.readouterr().err
    assert "8193" in path.read_text()


def test_check_finds_missing_and_strange_files(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (target / "keys.py").unlink()
    (target / "byhand.py").touch()
    assert main(["--check", "--target", str(target)]) == 1
    complaints = capsys.readouterr().err
    assert "keys.py is missing" in complaints
    assert "byhand.py has no schema" in complaints


def test_every_module_says_where_it_comes_from() -> None:
    for path in TARGET.glob("*.py"):
        assert "by tools.spec_compiler; do not edit." in path.read_text(), path
        assert "construct" not in path.read_text(), path


def test_the_hash_follows_the_format_and_not_the_words() -> None:
    def digest(limit: int, doc: str) -> str:
        message = Message("M", field(1, "a", "bytes", max_bytes=limit, doc=doc), max_bytes=100)
        return schema_hash(Module("m", "M.", "", items={"m": message}))

    assert digest(5, "one") == digest(5, "two")
    assert digest(5, "one") != digest(6, "one")
