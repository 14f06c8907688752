"""`python -m tools.bench`: run, print the table."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.bench import go_worker, pairs, report, rows
from tools.bench.measure import run
from tools.interop_peers.building import PeerMissing


def _names(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds [5]")
    parser.add_argument("--seconds", type=_positive, default=3.0, help="length of one measurement [3]")
    known = ", ".join(dict.fromkeys(name for row in rows.ROWS for name in (row.group, row.name)))
    parser.add_argument("--rows", type=_names, default=[], help=f"rows or groups, by commas: {known} [all]")
    names = ", ".join(pair.name for pair in pairs.PAIRS)
    parser.add_argument("--pairs", type=_names, default=[], help=f"client-server, by commas: {names} [all]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status, 1 when a measurement failed; progress goes to stderr, the table to stdout."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        wanted_rows, wanted_pairs = rows.chosen(options.rows), pairs.chosen(options.pairs)
    except ValueError as error:
        parser.error(str(error))
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    settings = {"rounds": options.rounds, "seconds": options.seconds, "machine": report.machine()}
    try:
        if any("go" in (pair.client, pair.server) for pair in wanted_pairs):
            settings["go_libp2p"] = go_worker.version()
        work = run(wanted_rows, wanted_pairs, options.rounds, options.seconds, _note)
        results = asyncio.run(work)
    except PeerMissing as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    table = list(report.lines(results, wanted_rows, wanted_pairs))
    print(report.markdown(table, results.failures))
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(table, results, settings), indent=1) + "\n")
    return 1 if results.failures else 0


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
