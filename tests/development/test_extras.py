"""Optional packages: which one is missing is said, and none changes the process that loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.errors import ConfigError
from mesh.extras import load_chain, load_signing

PROGRAM = """
import json, sys
from mesh.extras import load_chain, load_signing
before = sys.getrecursionlimit()
load_chain()
load_signing()
assert sys.getrecursionlimit() == before, sys.getrecursionlimit()
try:
    json.loads("[" * 1_000_000)
except RecursionError:
    print("refused")
"""


def test_loading_leaves_the_limit_of_recursion_alone() -> None:
    """With the limit that these packages set, such JSON ends the process by overflow of the stack."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.parametrize(
    ("load", "module", "extra"), [(load_chain, "eth", "chain"), (load_signing, "coincurve", "market")]
)
def test_a_missing_extra_is_named(
    load: object, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert callable(load)
    with pytest.raises(ConfigError, match=rf"mesh\[{extra}\]"):
        load()
