"""What the trials of a matrix come to: a row for each pair of kinds, a column for each variant."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from mesh.lab.matrix import Matrix, Trial


def table(matrix: Matrix, trials: Sequence[Trial]) -> list[list[str]]:
    """The cells, headings first: how many tries of a pair worked and, where the command told how they ended, how many
    ended so, with the median of its seconds."""
    variants = matrix.variant_names
    rows = [["A - B", *(each or "worked" for each in variants)]]
    for a, b in matrix.pairs:
        cells = [[each for each in trials if each.name[:3] == (a.name, b.name, name)] for name in variants]
        rows.append([f"{a.name} - {b.name}", *map(_cell, cells)])
    return rows


def as_text(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns under each other."""
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
    return [
        "".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def as_markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _cell(found: Sequence[Trial]) -> str:
    """`3/3 direct 3 (0.71 s)`."""
    if not found:
        return "-"
    words: dict[str, list[float]] = {}
    for each in found:
        word, _, figure = each.ended.partition(" ")
        if word:
            words.setdefault(word, []).extend([float(figure)] if figure else [])
    told = [
        f"{word} {sum(each.ended.split(' ')[0] == word for each in found)}"
        + (f" ({statistics.median(seconds):.2f} s)" if seconds else "")
        for word, seconds in sorted(words.items())
    ]
    worked = f"{sum(each.status == 0 for each in found)}/{len(found)}"
    return " ".join([worked, ", ".join(told)]).strip()
