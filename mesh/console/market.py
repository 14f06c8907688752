"""`mesh market`: agents that sell work to each other, and what a market needs for development."""

from __future__ import annotations

import typer

from mesh.console import market_agents, market_development, market_money, market_serving

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("serve")(market_serving.serve)
app.add_typer(market_agents.app, name="agent", help="Offer agents, look for them, have them work.")
app.add_typer(market_money.orders, name="order", help="Orders, which are notes between buyer and seller.")
app.add_typer(market_money.wallet, name="wallet", help="What the wallet has, bought and sold.")
app.add_typer(market_money.workflows, name="workflow", help="Several agents one after another.")
app.command("chain")(market_development.chain)
app.command("facilitator")(market_development.facilitator)
