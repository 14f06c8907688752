"""Writes `mesh/codecs` from `protocol_specs`: plain typed Python, one module a format.

`python -m tools.spec_compiler` writes the modules, `--check` compares them with the schemas.
"""

from __future__ import annotations

from tools.spec_compiler.bounds import Unbounded, check_bounds
from tools.spec_compiler.modules import generate_module, generated_files

__all__ = ["Unbounded", "check_bounds", "generate_module", "generated_files"]
