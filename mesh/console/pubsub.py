"""`mesh pubsub`: publish to topics, read them, and look at peers, meshes, scores and rates.

The running daemon of the data folder does it. Without one, and with --direct or --to, `pub` and `sub` use a throw-away
node that connects to the given peers or the configured bootstrap list.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.probes import DirectOption
from mesh.console.pubsub_output import (
    Arrivals,
    LiveRate,
    Sent,
    say_meshes,
    say_rates,
    say_scores,
    say_stats,
    say_topics,
)
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import MeshError, UsageError

TOO_LONG = ("limit", "too-large")
"""Codes of errors that one line is to blame for."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]
TopicOrAll = Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="One topic only.")]
ToOption = Annotated[
    list[str] | None,
    typer.Option("--to", "--peer", metavar="ADDR", help="Use a node of its own that connects to this peer."),
]


@app.command("pub")
def pub(
    topic: TopicArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Text; - or nothing: --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take the message from a file.")] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Each line of the file or stdin is a message, sent as it comes.")
    ] = False,
    direct: DirectOption = False,
    to: ToOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> int:
    """Publish, and say to how many peers it was sent; exit status 1 when that is nobody."""
    from mesh.console.pubsub_input import batches, whole
    from mesh.console.pubsub_source import source_for

    given = data is not None and data != "-"
    if given and (file is not None or lines):
        raise UsageError("give DATA, or --file and --lines, not both")
    check_text(topic)
    source, sent = source_for(path, direct, to or ()), Sent(topic, json)
    if not lines:
        message = os.fsencode(data) if data is not None and given else whole(file)
        source.publish(topic, message, sent.add)
        sent.summarize()
        return 0 if sent.reached else 1
    try:
        source.publish_many(topic, batches(file), sent.add)
    except MeshError as error:
        if error.code in TOO_LONG:
            error.args = (f"line {sent.count + 1}: {error}",)
        raise
    finally:
        sent.summarize()
    return 0 if sent.reached else 1


@app.command("sub")
def sub(
    topic: TopicArgument,
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="End after so many; 0 goes on.")] = 0,
    rate: Annotated[bool, typer.Option("--rate", help="Messages and bytes a second, on stderr.")] = False,
    own: Annotated[bool, typer.Option(help="Messages that the daemon itself publishes too.")] = True,
    direct: DirectOption = False,
    to: ToOption = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Print messages as they come, one a line; --json gives author, ids and the data in base64."""
    from mesh.console.pubsub_source import source_for

    check_text(topic)
    source, arrivals = source_for(path, direct, to or ()), Arrivals(json, count)
    with LiveRate(arrivals) if rate else nullcontext():
        source.subscribe(topic, own, arrivals.show)


@app.command("ls")
def ls(path: FolderOption = None, json: JsonOption = False) -> None:
    """List the topics that the daemon is in: those that somebody reads."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/pubsub/topics")
    if json:
        say_json(found)
    else:
        say_topics(found["topics"])


@app.command("peers")
def peers(topic: TopicOrAll = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """List the daemon's peers that speak pubsub, or those of them in a topic."""
    from mesh.console.client import running
    from mesh.telemetry.log import printable

    found = running(path).ask("GET", "/pubsub/peers", query=_query(topic))
    if json:
        say_json(found)
        return
    for each in found["peers"]:
        say(printable(each))


@app.command("mesh")
def mesh(topic: TopicOrAll = None, path: FolderOption = None, json: JsonOption = False) -> None:
    """List with whom the daemon exchanges the messages of each topic."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/pubsub/mesh", query=_query(topic))
    if json:
        say_json(found)
    else:
        say_meshes(found["meshes"])


@app.command("score")
def score(
    peer: Annotated[str | None, typer.Argument(metavar="[PEER]", help="One peer only.")] = None,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show what the score of each peer is made of, P1 to P7, if scores are kept."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/pubsub/scores", query=None if peer is None else {"peer": peer})
    if json:
        say_json(found)
    else:
        say_scores(found["peers"])


@app.command("stats")
def stats(
    watch: Annotated[
        bool, typer.Option("--watch", help="What happens now: a line for each interval.")
    ] = False,
    interval_ms: Annotated[float, typer.Option(min=10, help="Length of an interval.")] = 1000,
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="Intervals; 0 goes on.")] = 0,
    path: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show how often what happened since the daemon's start, or with --watch how often a second now."""
    from mesh.console.client import running

    daemon = running(path)
    if not watch:
        found = daemon.ask("GET", "/pubsub/stats")
        if json:
            say_json(found)
        else:
            say_stats(found)
        return
    for line in daemon.lines("/pubsub/rates", {"interval_ms": interval_ms, "count": count}):
        if json:
            say_json(line)
        else:
            say_rates(line)


def check_text(topic: str) -> None:
    """Raises `UsageError` for an argument that is not text."""
    try:
        topic.encode()
    except UnicodeEncodeError:
        raise UsageError("TOPIC is not UTF-8") from None


def _query(topic: str | None) -> dict[str, str] | None:
    if topic is None:
        return None
    check_text(topic)
    return {"topic": topic}
