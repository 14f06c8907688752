"""`mesh agent wake`: try whether the agent is waked, as the settings say; what waits, and what was given up."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import typer

from mesh.console.agent_calls import agent_of
from mesh.console.agent_output import tell
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import ConfigError, NetworkError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
TEXT = "A test of the agent daemon: mesh agent wake test. No message came; nothing has to be done."


@app.command("test")
def try_wake(
    text: Annotated[str, typer.Option("--text", help="What the agent is told.")] = TEXT,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Call the gateway's hook, or the command, once, with a text that says that it is a test."""
    from mesh.apps.agent.waking.channels import channel_of
    from mesh.apps.agent.waking.queue import Batch
    from mesh.apps.agent.waking.waking import CallFailed
    from mesh.config import load
    from mesh.console.running import run_async

    channel = channel_of(load(path).config.agent)
    if channel is None:
        raise ConfigError("nothing wakes the agent: set agent.gateway_url, or agent.wake_command")

    async def call() -> str:
        try:
            return await channel.call(text, batch)
        except CallFailed as error:
            raise NetworkError(f"{channel.name}: {error}") from None
        finally:
            await channel.close()

    batch = Batch(0, "", f"test-{secrets.token_hex(16)}", 1, ())
    began = time.monotonic()
    evidence = run_async(call())
    took_ms = round((time.monotonic() - began) * 1000)
    found = {"channel": channel.name, "evidence": evidence, "took_ms": took_ms}
    tell(json, found, [f"{channel.name}: {evidence}, {took_ms} ms"])


@app.command("status")
def status(path: FolderOption = None, json: JsonOption = False) -> None:
    """How many messages wait for a wake, and how many wakes were given up."""
    found = agent_of(path).get("/wakes")
    lines = [
        found["channel"],
        f"{found['waiting']} messages wait, {found['done']} wakes done, {found['givenUp']} given up, "
        f"{found['repeatedCalls']} calls repeated",
    ]
    tell(json, found, lines)


@app.command("retry")
def retry(path: FolderOption = None, json: JsonOption = False) -> None:
    """Try again the wakes that were given up."""
    done = agent_of(path).ask("POST", "/wakes/retry")
    tell(json, done, [f"{done['retried']} wakes are tried again"])
