"""The benchmark of the agent daemon runs to its end; nothing is said about how fast."""

from __future__ import annotations

import pytest

from tools.bench.agent import SEARCHES, main


def test_every_search_finds_something(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--messages", "3000", "--rounds", "1", "--seconds", "0"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("stored 3,000 messages")
    assert [line.split(" | ")[0].removeprefix("| ") for line in printed[3:-1]] == list(SEARCHES)
    found = {line.split(" | ")[0]: line.split(" | ")[-1].strip(" |") for line in printed[3:-1]}
    assert found["| the commonest word"] not in ("0", "")


def test_the_status_is_asked_for_while_messages_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--messages", "0", "--rate", "50", "--seconds", "0.5"]) == 0
    assert "messages/s are received: median" in capsys.readouterr().out
