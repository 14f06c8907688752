"""The benchmark of paid calls runs to its end; nothing is said about how fast."""

from __future__ import annotations

import pytest

from tools.bench.payments import main


def test_both_figures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--calls", "20", "--at-once", "4"]) == 0
    added, seller = capsys.readouterr().out.splitlines()
    assert added.startswith("added to a call: ")
    assert "paid calls a second (promised: 200)" in seller
