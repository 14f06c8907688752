"""The benchmark of the Lethean mesh runs to its end; nothing is said about how fast."""

from __future__ import annotations

import pytest

from tools.bench.lethean import main, message_rows, packet_rows


def test_every_row_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--round", "0.001", "--rounds", "1", "--messages", "20"]) == 0
    printed = capsys.readouterr().out.splitlines()[1:]
    names = [name for name, _, _ in (*message_rows(), *packet_rows())]
    assert [line[:44].rstrip() for line in printed[:-1]] == names
    assert "process to process" in printed[-1]


def test_rows_do_what_they_say() -> None:
    for _, work, _ in (*message_rows(), *packet_rows()):
        assert work() is not None
