"""What the agent daemon's settings refuse."""

from __future__ import annotations

import pytest

from mesh.config import AgentSection
from mesh.errors import ConfigError


def test_an_agent_is_off_unless_wanted_and_listens_on_loopback() -> None:
    section = AgentSection()
    assert not section.enabled
    assert section.api == "127.0.0.1:4003"
    assert section.gateway_url == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "two\nlines"),
        ("name", "x" * 257),
        ("api", "4003"),
        ("api_origins", ("https://example.org/page",)),
        ("api_origins", ("*",)),
        ("gateway_url", "file:///etc/passwd"),
        ("gateway_url", "http://user:secret@example.org"),
        ("bsv_identity_key", "04" + "00" * 32),
        ("topics", ("both",)),
        ("rate", 0),
    ],
)
def test_what_cannot_work_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"AgentSection.{field}"):
        AgentSection(**{field: value})  # type: ignore[arg-type]
