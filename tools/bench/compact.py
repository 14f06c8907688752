"""The short table for a README: a row for each figure, a column for each pair, ratios to go-libp2p with itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.pairs import ALONE, BASELINE
from tools.bench.report import DOUBTED, Line, number, ratio_text

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"


def markdown(table: Sequence[Line], settings: Mapping[str, Any], failures: Sequence[str] = ()) -> str:
    """What was measured where, the table of pairs, that of this program alone."""
    text = [*_introduction(settings), ""]
    between = [line for line in table if line.pair != ALONE.name]
    if between:
        text += [*_pairs(between), ""]
    alone = [line for line in table if line.pair == ALONE.name]
    if alone:
        text += ["| mesh alone | |", "|---|---|"]
        text += [f"| {line.figure} | {number(line.median)} {line.unit} |" for line in alone]
        text += [""]
    if any(line.trusted is False for line in between):
        text += [DOUBTED, ""]
    if failures:
        text += [f"Measurements that failed: {len(failures)}.", ""]
    return "\n".join(text).rstrip() + "\n"


def check_marks(file: Path) -> str:
    """The text of a file. Raises `ValueError` unless it can be read and each mark is there once, in order."""
    try:
        whole = file.read_text()
    except OSError as error:
        raise ValueError(str(error)) from error
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        raise ValueError(f"{file} needs the lines {BEGIN} and {END}, once each and in this order")
    return whole


def put_between_marks(file: Path, text: str) -> None:
    """Replace what stands between the two marks. Raises `ValueError` as `check_marks`."""
    whole = check_marks(file)
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def _introduction(settings: Mapping[str, Any]) -> Iterator[str]:
    machine = settings["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    yield (
        f"{settings['date']}, {machine['system']}, {machine['cpus']} cores of {machine['processor']}, loopback, load "
        f"{machine['load'][0]} before, {settings['stolen']:.1%} of the processors' time taken by others on the host; "
        f"{versions}."
    )
    yield (
        f"Medians of {settings['rounds']} interleaved rounds of {settings['seconds']:g} s: `{settings['command']}`. "
        "A pair is client-server, both ends in processes of their own. In brackets the ratio to go-go of the same run; "
        "above 1 is better than go-libp2p."
    )


def _pairs(table: Sequence[Line]) -> Iterator[str]:
    pairs = list(dict.fromkeys(line.pair for line in table))
    figures = list(dict.fromkeys((line.figure, line.unit) for line in table))
    cells = {(line.figure, line.pair): _cell(line) for line in table}
    yield f"| | {' | '.join(pairs)} |"
    yield f"|---|{'---:|' * len(pairs)}"
    for figure, unit in figures:
        yield f"| {figure}, {unit} | {' | '.join(cells.get((figure, pair), '') for pair in pairs)} |"


def _cell(line: Line) -> str:
    if line.ratio is None or line.pair == BASELINE.name:
        return number(line.median)
    doubt = " (*)" if line.trusted is False else ""
    return f"{number(line.median)} ({ratio_text(line.ratio)}){doubt}"
