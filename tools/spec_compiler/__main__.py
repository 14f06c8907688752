"""`python -m tools.spec_compiler [--check]`: write `mesh/codecs`, or compare it with the schemas."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.spec_compiler.bounds import Unbounded
from tools.spec_compiler.modules import generated_files

TARGET = Path(__file__).resolve().parents[2] / "mesh" / "codecs"


def differences(target: Path, files: dict[str, str]) -> list[str]:
    """One line for each file of `target` that is missing, changed or not of this compiler."""
    found = []
    for name, text in sorted(files.items()):
        path = target / name
        if not path.exists():
            found.append(f"{path} is missing")
        elif path.read_text() != text:
            found.append(f"{path} is not what its schema gives")
    strange = {path.name for path in target.glob("*.py")} - set(files)
    return found + [f"{target / name} has no schema" for name in sorted(strange)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.spec_compiler", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing, fail on a difference")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the generated modules")
    options = parser.parse_args(arguments)
    try:
        files = generated_files()
    except Unbounded as error:
        print(f"spec_compiler: {error}", file=sys.stderr)
        return 1
    found = differences(options.target, files)
    if options.check:
        for line in found:
            print(f"spec_compiler: {line}", file=sys.stderr)
        if found:
            print("spec_compiler: run `make codecs` and commit the result", file=sys.stderr)
        return 1 if found else 0
    options.target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = options.target / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
