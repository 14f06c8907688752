"""`mesh lab`: real NATs between network namespaces, for programs of any origin."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Annotated

import typer

from mesh.console.output import say, say_json
from mesh.console.setup import JsonOption
from mesh.errors import UsageError
from mesh.lab import KINDS, Kind, Lab, SitePlan, kind_named, missing_ability, namespaces
from mesh.lab.matrix import Trial, run_matrix
from mesh.lab.namespaces import LabError

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
        sys.stdout.flush()
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
    tries: Annotated[int, typer.Option(min=1, max=1000)] = 3,
    timeout: Annotated[float, typer.Option(metavar="S", help="A try is ended after this.")] = 60.0,
    delay: DelayOption = 0.0,
    loss: LossOption = 0,
    wan_accept: WanOption = False,
    json: JsonOption = False,
) -> int:
    """Run COMMAND for every pair of kinds of NAT, in a new laboratory each time."""
    chosen = [kind_named(each) for each in kinds.split(",")]
    _need(delay=delay > 0)
    trials: list[Trial] = []
    for trial in run_matrix(
        chosen,
        command,
        tries=tries,
        timeout_s=timeout,
        delay_ms=delay,
        loss_per_mille=loss,
        wan_accept=wan_accept,
    ):
        trials.append(trial)
        if not json:
            said = f"  {trial.said.splitlines()[-1]}" if trial.status and trial.said else ""
            say(f"{trial.a} - {trial.b} {trial.number}: {trial.verdict} {trial.seconds:.2f} s{said}")
    if json:
        fields = ("a", "b", "number", "status", "seconds", "said")
        say_json({"trials": [{name: getattr(each, name) for name in fields} for each in trials]})
    else:
        _table(chosen, trials)
    return 0


def _table(chosen: list[Kind], trials: list[Trial]) -> None:
    """How many of each pair's tries worked: a row for A, a column for B."""
    width = max(len(each.name) for each in chosen) + 2
    say("".join(f"{text:{width}}" for text in ["A \\ B", *(each.name for each in chosen)]))
    for a in chosen:
        row = [a.name]
        for b in chosen:
            pair = [each for each in trials if (each.a, each.b) == (a.name, b.name)]
            row.append(f"{sum(each.status == 0 for each in pair)}/{len(pair)}")
        say("".join(f"{text:{width}}" for text in row))


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
