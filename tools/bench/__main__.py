"""`python -m tools.bench`: run, print the table."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh import __version__
from tools.bench import compact, go_worker, pairs, py_libp2p, report, rows
from tools.bench.measure import Effort, run
from tools.interop_peers.building import PeerMissing


def _names(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=_count, default=5, help="interleaved rounds [5]")
    add("--seconds", type=_positive, default=3.0, help="length of one measurement [3]")
    add("--hold", type=_count, default=1000, metavar="N", help="connections in the memory row [1000]")
    known = ", ".join(dict.fromkeys(name for row in rows.ROWS for name in (row.group, row.name)))
    add("--rows", type=_names, default=[], help=f"rows or groups, by commas: {known} [all]")
    names = ", ".join(pair.name for pair in pairs.known(list(pairs.OPTIONAL)))
    add("--pairs", type=_names, default=[], help=f"client-server, by commas: {names} [all]")
    peers = ", ".join(pairs.OPTIONAL)
    add("--peers", type=_names, default=[], help=f"further peers, installed when missing: {peers} [none]")
    add("--json", type=Path, metavar="FILE", help="write all samples there")
    add("--markdown", type=Path, metavar="FILE", help="write the compact table there")
    help_text = f"put the compact table between the lines {compact.BEGIN} and {compact.END} of that file"
    add("--between-marks", type=Path, metavar="FILE", help=help_text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status, 1 when a measurement failed; progress goes to stderr, the table to stdout."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        wanted_rows, wanted_pairs = _chosen(options)
    except ValueError as error:
        parser.error(str(error))
    try:
        settings = _settings(options, wanted_pairs, sys.argv[1:] if arguments is None else arguments)
        effort = Effort(options.rounds, options.seconds, options.hold)
        before = report.processor_ticks()
        results = asyncio.run(run(wanted_rows, wanted_pairs, effort, _note))
        settings["stolen"] = report.stolen_since(before)
    except PeerMissing as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    table = list(report.lines(results, wanted_rows, wanted_pairs))
    print(report.markdown(table, results.failures))
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(table, results, settings), indent=1) + "\n")
    short = compact.markdown(table, settings, results.failures)
    if options.markdown is not None:
        options.markdown.write_text(short)
    if options.between_marks is not None:
        compact.put_between_marks(options.between_marks, short)
    return 1 if results.failures else 0


def _chosen(options: argparse.Namespace) -> tuple[list[rows.Row], list[pairs.Pair]]:
    """Rows and pairs to run, without peers that cannot be had here. Raises `ValueError`."""
    unknown = [name for name in options.peers if name not in pairs.OPTIONAL]
    if unknown:
        raise ValueError(f"no such peer: {', '.join(unknown)}; there are {', '.join(pairs.OPTIONAL)}")
    wanted_rows = rows.chosen(options.rows)
    wanted_pairs = pairs.chosen(options.pairs, options.peers)
    if options.between_marks is not None:
        compact.check_marks(options.between_marks)
    if _has(wanted_pairs, "py"):
        try:
            py_libp2p.ensure_installed()
        except PeerMissing as missing:
            _note(f"bench: LEFT OUT: all pairs with py-libp2p: {missing}")
            wanted_pairs = [pair for pair in wanted_pairs if not _has([pair], "py")]
    return wanted_rows, wanted_pairs


def _has(wanted: Sequence[pairs.Pair], program: str) -> bool:
    return any(program in (pair.client, pair.server) for pair in wanted)


def _settings(
    options: argparse.Namespace, wanted: Sequence[pairs.Pair], arguments: Sequence[str]
) -> dict[str, Any]:
    """What the figures depend on."""
    machine = report.machine()
    versions = {"mesh": __version__, "Python": machine["python"]}
    if _has(wanted, "go"):
        versions["go-libp2p"] = go_worker.version()
    if _has(wanted, "py"):
        versions["py-libp2p"] = py_libp2p.VERSION
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "tools.bench", *arguments]),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine,
        "versions": versions,
    }


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
