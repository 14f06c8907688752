"""`mesh demo`: parts of this program shown at work, on loopback and with nothing of value."""

from __future__ import annotations

import sys

import typer

from mesh.console.output import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def demo() -> None:
    """Show a part of this program at work, on loopback."""


@app.command("market")
def market() -> None:
    """Show the marketplace: sell, buy, settle, crash and recover, on a chain of this machine's own."""
    from mesh.console.running import run_async
    from mesh.development.market_demo import MarketDemo

    async def run() -> None:
        async with MarketDemo(_tell) as shown:
            await shown.run()

    run_async(run())


def _tell(line: str) -> None:
    say(line)
    sys.stdout.flush()
