"""`mesh simulate`: networks in virtual time, without a daemon and without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mesh.console.output import say
from mesh.console.setup import JsonOption

EngineName = Literal["auto", "nodes", "compact"]

app = typer.Typer(help="Networks in virtual time.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def simulate() -> None:
    """Networks in virtual time: reproducible from a seed, no daemon and no socket."""


@app.command("dht")
def dht(
    peers: Annotated[int, typer.Option(help="Nodes at any time.")] = 1000,
    engine: Annotated[
        EngineName,
        typer.Option(help="Full nodes, compact tables (needs numpy), or by the number of peers."),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    alpha: Annotated[int, typer.Option(help="Requests of a lookup at once.")] = 10,
    beta: Annotated[int, typer.Option(help="Closest peers that must have answered.")] = 3,
    k: Annotated[int, typer.Option(help="Replication and bucket size.")] = 20,
    loss: Annotated[float, typer.Option(help="Share of messages that never arrive.")] = 0.0,
    churn: Annotated[float, typer.Option(help="Share of nodes that leave in an hour.")] = 0.2,
    latency: Annotated[float, typer.Option(help="Median round trip in ms.")] = 50.0,
    lookups: Annotated[int, typer.Option(help="Lookups that are measured.")] = 1000,
    minutes: Annotated[float, typer.Option(help="Virtual minutes that are measured (full nodes).")] = 30.0,
    keep_warm: Annotated[bool, typer.Option(help="Keep connections to the members of tables.")] = True,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run both engines with 1,000 peers at most and compare them.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report: Markdown, or JSON for .json.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a Kademlia network: lookups, registrations, discoveries and joins under churn."""
    from mesh.simulation.dht import simulate as run
    from mesh.simulation.dht_parameters import DhtParameters

    parameters = DhtParameters(
        peers=peers,
        seed=seed,
        alpha=alpha,
        beta=beta,
        k=k,
        loss=loss,
        churn=churn,
        latency_ms=latency,
        lookups=lookups,
        minutes=minutes,
        keep_warm=keep_warm,
    )
    done = run(parameters, engine, comparison=compare, tell=None if json else _tell)
    if report is not None:
        _write(report, done.to_json() if report.suffix == ".json" else done.to_markdown())
    if json:
        from mesh.console.output import say_json

        say_json(done.to_dict())
        return
    for line in done.lines():
        say(line)


def _tell(line: str) -> None:
    say(f"... {line}")


def _write(path: Path, text: str) -> None:
    from mesh.errors import StorageError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"--report {path}: {error.strerror}") from None
