"""The `mesh` command: its verbs, and how an error becomes one message and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from mesh.console import (
    conform,
    daemon,
    doctor,
    identity,
    interop,
    output,
    perf,
    probes,
    relay,
    setup,
    stats,
)
from mesh.console.later import later
from mesh.errors import MeshError

INTERRUPTED = 130

EPILOG = (
    "Exit status: 0 done; 1 the peer or the network failed; 2 wrong usage; 3 wrong configuration, key or "
    "file, or a listen address in use; 130 interrupted. The data folder is --path, else MESH_PATH, else the "
    "user's data folder; every setting has a MESH_<SECTION>_<NAME> variable."
)

app = typer.Typer(
    name="mesh",
    help="A peer-to-peer node that speaks libp2p.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(setup.init)
app.command("daemon")(daemon.daemon)
app.command("relay")(relay.relay)
app.command("id")(identity.show_id)
app.command("identify")(probes.identify)
app.command("ping")(probes.ping)
app.command("perf")(perf.perf)
app.command("conform")(conform.conform)
app.command("interop")(interop.interop)
app.add_typer(
    later("mesh.console.swarm", "Connections, addresses, limits and rules of the running daemon."),
    name="swarm",
)
app.add_typer(later("mesh.console.dht", "Find peers, values and providers."), name="dht")
app.add_typer(later("mesh.console.pubsub", "Publish to topics and read them."), name="pubsub")
app.add_typer(later("mesh.console.blocks", "Blocks by their CIDs."), name="block")
app.add_typer(later("mesh.console.files", "Files and directories among the daemon's blocks."), name="file")
app.add_typer(later("mesh.console.pins", "What stays among the daemon's blocks."), name="pin")
app.add_typer(later("mesh.console.repo", "The daemon's store of blocks."), name="repo")
app.add_typer(later("mesh.console.crdt", "Mappings that every node in a topic has."), name="crdt")
app.add_typer(later("mesh.console.bootstrap", "The peers a node begins with."), name="bootstrap")
app.add_typer(
    later("mesh.console.rendezvous", "Be found under a namespace, and find others."), name="rendezvous"
)
app.add_typer(later("mesh.console.lethean", "The Lethean mesh: workers and controllers."), name="lethean")
app.add_typer(
    later("mesh.console.agent", "The agent daemon: messages between AI agents, and a directory of them."),
    name="agent",
)
app.add_typer(
    later("mesh.console.market", "The marketplace: agents that sell work to each other."), name="market"
)
app.add_typer(
    later("mesh.console.beam", "Beam's network: services under names, and tunnels to them."), name="beam"
)
app.add_typer(later("mesh.console.demo", "Parts of this program shown at work."), name="demo")
app.command("stats")(stats.stats)
app.command("doctor")(doctor.doctor)
app.add_typer(
    later("mesh.console.diagnosis", "What stands between the running daemon and others."), name="diag"
)
app.add_typer(later("mesh.console.simulate", "Networks in virtual time."), name="simulate")
app.add_typer(later("mesh.console.lab", "Real NATs between network namespaces, for any program."), name="lab")
app.add_typer(later("mesh.console.service", "Have the system keep the daemon running."), name="service")
app.add_typer(later("mesh.console.settings", "Show and change the settings."), name="config")
app.add_typer(identity.key_app, name="key")
app.command("version")(setup.version)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with an error (also MESH_DEBUG=1).")
    ] = False,
) -> None:
    if show_version:
        setup.version()
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors have been reported by then."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments or os.environ.get("MESH_DEBUG", "") not in ("", "0")
    try:
        result = app(
            [argument for argument in arguments if argument != "--debug"],
            prog_name="mesh",
            standalone_mode=False,
        )
        _flush()
        return result if isinstance(result, int) else 0
    except MeshError as error:
        return _fail(error, as_json=as_json, debug=debug)
    except BaseExceptionGroup as group:
        found = _first_of_mesh(group)
        if found is None:
            raise
        return _fail(found, as_json=as_json, debug=debug)
    except typer.TyperException as error:
        return _misused(error, as_json=as_json)
    except typer.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        output.abandon(sys.stdout)
        return 1


def _fail(error: MeshError, *, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    output.report(error, as_json=as_json)
    return error.exit_status


def _misused(error: typer.TyperException, *, as_json: bool) -> int:
    message = error.format_message()
    if as_json:
        output.problem("usage", message, [])
        return error.exit_code
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        return error.exit_code
    context = getattr(error, "ctx", None)
    if context is not None:
        print(context.get_usage(), file=sys.stderr)
        print(f"Try '{context.command_path} --help' for help.", file=sys.stderr)
    print(f"error: {message}", file=sys.stderr)
    return error.exit_code


def _first_of_mesh(group: BaseExceptionGroup[BaseException]) -> MeshError | None:
    """The first error of ours, when the group holds nothing else."""
    ours, others = group.split(MeshError)
    if ours is None or others is not None:
        return None
    first: BaseException = ours
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, MeshError) else None


def _flush() -> None:
    if sys.stdout is not None:
        with output.writing():
            sys.stdout.flush()
