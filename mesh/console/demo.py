"""`mesh demo`: parts of this program shown at work, on loopback and with nothing of value."""

from __future__ import annotations

from typing import Annotated

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


@app.command("beam")
def beam(
    loopback: Annotated[
        bool, typer.Option("--loopback", help="On loopback even where NATs can be made.")
    ] = False,
) -> None:
    """Show Beam: download through a relay that is killed on the way, behind symmetric NATs where they can be made."""
    from mesh.console.running import run_async
    from mesh.development.beam_demo import LOOPBACK, BeamDemo, Ground

    async def run(ground: Ground) -> None:
        async with BeamDemo(_tell, ground) as shown:
            await shown.run()

    if loopback or _cannot_build():
        run_async(run(LOOPBACK))
        return
    from mesh.lab import Lab
    from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP

    places = {"meeting": PUBLIC, "one": RELAY, "two": PUBLIC, "provider": "homeA", "opener": "homeB"}
    hosts = {"meeting": PUBLIC_IPS[1], "one": RELAY_IP, "two": PUBLIC_IPS[0]}
    with Lab("symmetric", "symmetric") as lab:
        prefixes = {name: lab.command(place) for name, place in places.items()}
        about = "provider and opener each behind a symmetric NAT, in namespaces of this machine"
        run_async(run(Ground(about, prefixes, hosts)))


def _cannot_build() -> bool:
    from mesh.lab import missing_ability

    return bool(missing_ability(delay=False))


def _tell(line: str) -> None:
    say(line)
