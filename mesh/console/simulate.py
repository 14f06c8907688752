"""`mesh simulate`: networks in virtual time, without a daemon and without a socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Protocol

import typer

from mesh.console.output import say
from mesh.console.setup import JsonOption

EngineName = Literal["auto", "nodes", "compact"]
AttackName = Literal["none", "spam", "ihave", "graft", "sybil", "eclipse"]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a report: Markdown, or JSON for .json.")
]


class SimulationReport(Protocol):
    """What every experiment ends with."""

    def to_dict(self) -> dict[str, object]: ...

    def to_json(self) -> str: ...

    def to_markdown(self) -> str: ...

    def lines(self) -> Iterator[str]: ...


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
    report: ReportOption = None,
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
    _give(done, report, json)


@app.command("gossip")
def gossip(
    peers: Annotated[int, typer.Option(help="Honest nodes at any time.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    seeds: Annotated[int, typer.Option(help="Runs, each with the next seed.")] = 1,
    seconds: Annotated[float, typer.Option(help="Virtual time in which messages are published.")] = 60.0,
    rate: Annotated[float, typer.Option(help="Messages a second, in the whole network.")] = 1.0,
    size: Annotated[int, typer.Option(help="Bytes of a message.")] = 200,
    least: Annotated[int, typer.Option(help="Connections of a node at least.")] = 20,
    most: Annotated[int, typer.Option(help="And at most.")] = 30,
    latency: Annotated[float, typer.Option(help="Median round trip in ms.")] = 100.0,
    loss: Annotated[float, typer.Option(help="Share of RPCs whose messages and gossip are lost.")] = 0.0,
    churn: Annotated[float, typer.Option(help="Share of nodes that leave in a minute.")] = 0.0,
    partition: Annotated[float, typer.Option(help="Seconds for which the network is cut in halves.")] = 0.0,
    attack: Annotated[AttackName, typer.Option(help="What attackers do.")] = "none",
    attackers: Annotated[
        float | None, typer.Option(help="Attackers, as a share of honest nodes. By default the attack's own.")
    ] = None,
    scores: Annotated[
        bool | None, typer.Option("--scores/--no-scores", help="Keep scores; by default under attack only.")
    ] = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Run a GossipSub network: delivery, hops, latency and traffic under loss, partitions, churn and attacks."""
    from mesh.simulation.gossip import simulate as run
    from mesh.simulation.gossip_parameters import Attack, GossipParameters

    parameters = GossipParameters(
        peers=peers,
        seed=seed,
        seeds=seeds,
        seconds=seconds,
        rate=rate,
        size=size,
        least=least,
        most=most,
        latency_ms=latency,
        loss=loss,
        churn=churn,
        partition_s=partition,
        attack=Attack(attack),
        attackers=attackers,
        scores=scores,
    )
    _give(run(parameters, tell=None if json else _tell), report, json)


@app.command("market")
def market(
    runs: Annotated[int, typer.Option(help="Runs, each with the next seed.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The first seed; the same ones give the same figures.")] = 1,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Buy under faults: crashes at any step, late, lost and doubled answers, lies and cheats; needs the extra market."""
    from mesh.simulation.market.report import MarketReport
    from mesh.simulation.market.runs import run_seeds

    started = time.monotonic()
    tally = run_seeds(range(seed, seed + runs))
    done = MarketReport(runs, seed, tally, time.monotonic() - started)
    _give(done, report, json)
    if not done.sound:
        raise typer.Exit(1)


@app.command("push")
def push(
    peers: Annotated[int, typer.Option(help="Nodes; each knows all others.")] = 1000,
    seed: Annotated[int, typer.Option(help="The first seed; the same ones give the same figures.")] = 1,
    seeds: Annotated[int, typer.Option(help="Rumours, each with the next seed.")] = 20,
    fanout: Annotated[int, typer.Option(help="Peers that a node passes a rumour on to.")] = 6,
    hops: Annotated[int, typer.Option(help="How far a rumour goes.")] = 8,
    repair_fanout: Annotated[int, typer.Option(help="Peers that are told a digest each round.")] = 1,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Pass rumours on by random fanout, with and without pull repair, in rounds."""
    from mesh.simulation.push_gossip import PushParameters
    from mesh.simulation.push_gossip import run as run_push

    parameters = PushParameters(
        peers=peers, seed=seed, seeds=seeds, fanout=fanout, hops=hops, repair_fanout=repair_fanout
    )
    _give(run_push(parameters, None if json else _tell), report, json)


@app.command("beam")
def beam(
    peers: Annotated[int, typer.Option(help="Nodes at any time.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    operations: Annotated[int, typer.Option(help="Lookups of each run; half as many discoveries.")] = 400,
    minutes: Annotated[float, typer.Option(help="Virtual minutes of each run.")] = 5.0,
    attackers: Annotated[float, typer.Option(help="Share of attackers in the runs that have some.")] = 0.1,
    routers: Annotated[int, typer.Option(help="Nodes of the runs about routes; 0 for none.")] = 150,
    uses: Annotated[int, typer.Option(help="Connections that are opened in each of those.")] = 200,
    seeds: Annotated[int, typer.Option(help="Runs about routes, each with the next seed.")] = 1,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Register and find services with churn and among attackers; open connections by routes among attackers."""
    from mesh.simulation.beam import BeamParameters
    from mesh.simulation.beam import run as run_beam

    parameters = BeamParameters(
        peers=peers,
        seed=seed,
        operations=operations,
        minutes=minutes,
        attackers=attackers,
        routers=routers,
        uses=uses,
        seeds=seeds,
    )
    _give(run_beam(parameters, None if json else _tell, time.process_time), report, json)


@app.command("crdt")
def crdt(
    replicas: Annotated[int, typer.Option(help="Replicas of one mapping.")] = 100,
    seed: Annotated[int, typer.Option(help="The first seed; the same ones give the same figures.")] = 1,
    seeds: Annotated[int, typer.Option(help="Runs, each with the next seed.")] = 20,
    changes: Annotated[int, typer.Option(help="Puts and deletes of a run.")] = 80,
    keys: Annotated[int, typer.Option(help="Keys that they are about.")] = 20,
    loss: Annotated[float, typer.Option(help="Share of messages that never arrive.")] = 0.2,
    duplicates: Annotated[float, typer.Option(help="Share of messages that come twice.")] = 0.1,
    crashes: Annotated[float, typer.Option(help="Share of replicas that die during a run.")] = 0.3,
    partitions: Annotated[int, typer.Option(help="Times that the network falls into two.")] = 2,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Let replicas of a Merkle-CRDT converge after loss, partitions, reordering, duplicates and crashes."""
    from mesh.simulation.crdt import CrdtParameters
    from mesh.simulation.crdt import run as run_crdt

    parameters = CrdtParameters(
        replicas=replicas,
        seed=seed,
        seeds=seeds,
        changes=changes,
        keys=keys,
        loss=loss,
        duplicates=duplicates,
        crashes=crashes,
        partitions=partitions,
    )
    _give(run_crdt(parameters, None if json else _tell), report, json)


@app.command("listings")
def listings(
    nodes: Annotated[int, typer.Option(help="Nodes in the marketplace.")] = 100,
    seed: Annotated[int, typer.Option(help="The first seed; the same ones give the same figures.")] = 1,
    seeds: Annotated[int, typer.Option(help="Runs, each with the next seed.")] = 10,
    listed: Annotated[int, typer.Option("--listings", help="Agents listed in a run.")] = 10,
    dials: Annotated[int, typer.Option(help="Connections that each node makes.")] = 4,
    latency: Annotated[float, typer.Option("--latency-ms", help="Median round trip in ms.")] = 100.0,
    spread: Annotated[float, typer.Option(help="Deviation of the logarithm of round trips.")] = 0.4,
    loss: Annotated[float, typer.Option(help="Share of messages that never arrive.")] = 0.05,
    announced: Annotated[
        bool, typer.Option(help="Announce them; or let the mapping alone bring them.")
    ] = True,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """List agents in the marketplace and see how soon every node knows them."""
    from mesh.simulation.listing_spread import SpreadParameters
    from mesh.simulation.listing_spread import run as run_listings

    parameters = SpreadParameters(nodes, seed, seeds, listed, dials, latency, spread, loss, announced)
    _give(run_listings(parameters, None if json else _tell), report, json)


def _give(done: SimulationReport, report: Path | None, json: bool) -> None:
    """Writes the report if there is to be one, and tells it."""
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
