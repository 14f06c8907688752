"""The channel that the settings ask for, and the gateway's secret from where it is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mesh.apps.agent.waking.command import Command
from mesh.apps.agent.waking.hook import Gateway, WebHook
from mesh.apps.agent.waking.queue import Budget
from mesh.apps.agent.waking.waking import Channel, Pace
from mesh.config import AgentSection
from mesh.errors import ConfigError

TOKEN_VARIABLE: Final = "OPENCLAW_HOOKS_TOKEN"
URL_VARIABLE: Final = "OPENCLAW_GATEWAY_URL"
DEFAULT_URL: Final = "http://127.0.0.1:18789"
MAX_TOKEN_BYTES: Final = 4096


def channel_of(settings: AgentSection, environment: Mapping[str, str] | None = None) -> Channel | None:
    """How the agent is waked: by the command if there is one, else by the gateway's hook if one is named, else not.

    A stock daemon's variables outrank the settings, and its token there turns the hook on (section 8). Raises ConfigError
    for a token that is missing, unreadable, or no header's value.
    """
    if settings.wake_command:
        return Command(settings.wake_command, settings.wake_timeout_s)
    variables = os.environ if environment is None else environment
    token = variables.get(TOKEN_VARIABLE, "").strip()
    url = variables.get(URL_VARIABLE, "").strip() or settings.gateway_url
    if not url and not token:
        return None
    if not token:
        token = _read_token(settings.gateway_token_file)
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError("the gateway's token holds characters that no header can; write it anew")
    _check(url or DEFAULT_URL)
    return WebHook(
        Gateway(
            url or DEFAULT_URL,
            token,
            timeout_s=settings.wake_timeout_s,
            mode=settings.wake_mode,
            model=settings.wake_model,
            thinking=settings.wake_thinking,
        )
    )


def pace_of(settings: AgentSection) -> Pace:
    """Budgets, attempts and pauses of the settings."""
    return Pace(
        Budget(settings.wake_budget, settings.wake_budget_total, settings.wake_batch),
        parallel=settings.wake_parallel,
        attempts=settings.wake_attempts,
        retry_s=settings.wake_retry_s,
        retry_max_s=settings.wake_retry_max_s,
    )


def _check(url: str) -> None:
    """An address from the environment is held to what the setting is held to."""
    AgentSection(gateway_url=url)


def _read_token(path: Path | None) -> str:
    if path is None:
        raise ConfigError(
            f"a gateway is named but no token: set agent.gateway_token_file, or {TOKEN_VARIABLE} in the environment"
        )
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(MAX_TOKEN_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not plain text"
        raise ConfigError(f"agent.gateway_token_file: {path} cannot be read: {cause}") from None
    if not token:
        raise ConfigError(f"agent.gateway_token_file: {path} is empty; put the gateway's token into it")
    return token
