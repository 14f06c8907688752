"""The table of all peers: a row a run, and a document's table with the rows of these runs in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from mesh.conformance.runner import Report
from mesh.conformance.verdict import Level, Verdict
from tools.conformance.peers import ConformancePeer

Row = tuple[str, ...]
HEAD: Row = ("peer", "MUST kept", "MUST broken", "SHOULD broken", "not tried", "seconds")
SHORTEST_RANGE = 3


def row(peer: ConformancePeer, report: Report) -> Row:
    """What the table says of a run."""
    musts = [each for each in report.results if each.level is Level.MUST]
    kept = sum(each.verdict is Verdict.PASS for each in musts)
    broken = [each.id for each in report.results if each.verdict is Verdict.FAIL]
    warned = report.count(Verdict.WARN)
    untried = report.count(Verdict.SKIP) + report.count(Verdict.ERROR)
    named = f"{len(broken)}: {', '.join(ranges(broken))}" if broken else "0"
    return (peer.title, f"{kept} of {len(musts)}", named, str(warned), str(untried), f"{report.seconds:.0f}")


def ranges(names: Sequence[str]) -> Iterator[str]:
    """Ids in their order, three and more that follow each other as `kad/2.3 to 2.8`."""
    places = [(name.partition(".")[0], int(name.partition(".")[2])) for name in names]
    numbered = enumerate(places)
    for _, group in groupby(numbered, key=lambda each: (each[1][0], each[1][1] - each[0])):
        run = [place for _, place in group]
        if len(run) < SHORTEST_RANGE:
            yield from (f"{section}.{number}" for section, number in run)
        else:
            (section, first), (_, last) = run[0], run[-1]
            yield f"{section}.{first} to {section.partition('/')[2]}.{last}"


def line(cells: Row) -> str:
    """One line of Markdown."""
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    return "\n".join([line(HEAD), "|---" * len(HEAD) + "|", *map(line, rows)])


def renewed(document: str, rows: Sequence[Row]) -> str:
    """The document with these rows in its table, each in the place of the one about the same peer; those of peers that
    it does not have are left out. Raises `ValueError` for a document without such a table."""
    before, head, behind = document.partition(line(HEAD) + "\n")
    if not head:
        raise ValueError(f"no table begins with {line(HEAD)}")
    body, end, after = behind.partition("\n\n")
    lines = body.split("\n")
    for each in rows:
        lines = [line(each) if old.startswith(f"| {each[0]} |") else old for old in lines]
    return before + head + "\n".join(lines) + end + after
