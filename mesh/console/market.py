"""`mesh market`: agents that sell work to each other, and what a market needs for development."""

from __future__ import annotations

import typer

from mesh.console import market_development

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("chain")(market_development.chain)
app.command("facilitator")(market_development.facilitator)
