"""`mesh lab`: real NATs between network namespaces, for programs of any origin."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import JsonOption
from mesh.errors import UsageError
from mesh.lab import KINDS, Lab, SitePlan, kind_named, missing_ability, namespaces
from mesh.lab.matrix import Matrix, Trial, recorded, run_matrix
from mesh.lab.matrix import record as add_record
from mesh.lab.namespaces import LabError
from mesh.lab.tally import as_markdown, as_text, table

DOWN_S = 10.0
DelayOption = Annotated[float, typer.Option(metavar="MS", help="Delay of each home's line, each way.")]
LossOption = Annotated[int, typer.Option(metavar="N", help="Packets lost of 1000, each way.")]
WanOption = Annotated[
    bool, typer.Option("--wan-accept", help="Routers answer what comes to themselves, as bad ones do.")
]

app = typer.Typer(
    help="Real NATs between network namespaces, for any program.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def lab() -> None:
    """Real NATs between network namespaces, for any program. Needs Linux, root, `ip` and `nft`.

    Nothing of it is linked to this machine's own network: that is shown before the first packet.
    """


@app.command("kinds")
def kinds() -> None:
    """List the kinds of NAT: name, letter, mapping, filtering, and what they are."""
    for each in KINDS.values():
        say(f"{each.name:20}{each.letter:6}{each.mapping:6}{each.filtering:6}{each.about}")


@app.command("up")
def up(
    homes: Annotated[list[str], typer.Argument(metavar="KIND...", help="What stands before homes A, B, ...")],
    delay: DelayOption = 0.0,
    loss: LossOption = 0,
    wan_accept: WanOption = False,
    hosts: Annotated[int, typer.Option(metavar="N", help="Hosts behind each NAT.")] = 1,
) -> int:
    """Build a laboratory and keep it until SIGINT or SIGTERM, or `mesh lab down`."""
    plans = [SitePlan(kind_named(each), delay, 0.0, loss, wan_accept, hosts) for each in homes]
    _need(delay=delay > 0)
    stopped = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopped)
    with Lab(*plans) as built:
        for place in built.places:
            say(f"{place:8} {built.namespace(place)}")
        say("ready")
        signal.sigwait(stopped)
    return 0


@app.command("down")
def down() -> int:
    """End every laboratory that `mesh lab up` keeps, and remove what dead ones have left."""
    owners = {namespaces.owner_of(each) for each in namespaces.named_ours()}
    for pid in sorted(owners):
        if _is_lab(pid):
            os.kill(pid, signal.SIGTERM)
    limit = time.monotonic() + DOWN_S
    while any(_is_lab(pid) for pid in owners) and time.monotonic() < limit:
        time.sleep(0.05)
    removed = namespaces.sweep()
    left = namespaces.named_ours()
    say(f"ended {len(owners)}, swept {len(removed)}, left to their owners {len(left)}")
    return 0


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    place: Annotated[str, typer.Argument(help="A place such as homeA, relay or pub2.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...")],
) -> None:
    """Become COMMAND in a place of the running laboratory."""
    found = [each for each in namespaces.named_ours() if each.partition("-")[2] == place]
    if len(found) != 1:
        known = ", ".join(namespaces.named_ours()) or "none"
        raise UsageError(f"{len(found)} places are called {place!r}; there are: {known}")
    words = namespaces.inside(found[0], *command)
    os.execvp(words[0], words)


@app.command("matrix", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def matrix(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="Exit 0: it worked. $MESH_LAB_EXEC_A, _B, _RELAY run a program in there; $MESH_LAB_IP_A, _B, _RELAY.",
        ),
    ],
    kinds: Annotated[str, typer.Option(metavar="KIND,...", help="Every ordered pair of these.")] = "b,b',c,a",
    unordered: Annotated[bool, typer.Option("--unordered", help="Each pair in one order.")] = False,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,...", help="All of it with each value in $MESH_LAB_NAME; repeatable."
        ),
    ] = None,
    tries: Annotated[int, typer.Option(min=1, max=1000)] = 3,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Laboratories at a time.")] = 1,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep every try here; those that it has are not run again."),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="A try is ended after this.")] = 60.0,
    delay: DelayOption = 0.0,
    loss: LossOption = 0,
    wan_accept: WanOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table in Markdown.")] = False,
    json: JsonOption = False,
) -> int:
    """Run COMMAND for every pair of kinds of NAT, in a new laboratory each time. SIGINT and SIGTERM end it with the
    tries under way.

    The last line of its output may be a word for how it ended, and seconds: the table has how often, and the median.
    """
    chosen = [kind_named(each) for each in kinds.split(",")]
    wanted = Matrix(
        chosen, command, tries, timeout, delay, loss, wan_accept, unordered, dict(map(_variants, vary or ()))
    )
    _need(delay=delay > 0)
    trials = [each for each in recorded(record) if each.name in set(wanted.names())] if record else []
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for trial in run_matrix(wanted, jobs=jobs, done={each.name for each in trials}):
            trials.append(trial)
            if record is not None:
                add_record(record, trial)
            if not json:
                say(_line(trial))
    finally:
        signal.signal(signal.SIGTERM, before)
    if json:
        say_json({"trials": [asdict(each) for each in trials]})
    else:
        rows = table(wanted, trials)
        for line in as_markdown(rows) if markdown else as_text(rows):
            say(line)
    return 0


def _variants(text: str) -> tuple[str, list[str]]:
    name, _, values = text.partition("=")
    if not name.isidentifier() or not all(values.split(",")) or any(map(str.isspace, text)):
        raise UsageError(f"{text!r} is not NAME=VALUE,...")
    return name, values.split(",")


def _line(trial: Trial) -> str:
    said = f"  {trial.said.splitlines()[-1]}" if trial.status and trial.said else ""
    which = f" {trial.variant}" if trial.variant else ""
    ended = f" {trial.ended}" if trial.ended else ""
    return f"{trial.a} - {trial.b}{which} {trial.number}: {trial.verdict}{ended} {trial.seconds:.2f} s{said}"


def _need(*, delay: bool) -> None:
    missing = missing_ability(delay=delay)
    if missing:
        raise LabError(f"no laboratory can be built here: {missing}")


def _is_lab(pid: int) -> bool:
    """Whether a process is one of `mesh lab up`."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return b"lab" in words and b"up" in words
