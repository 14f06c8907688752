"""A run as one HTML page that needs nothing else: every case opens to what was expected, seen and on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from mesh.conformance.catalogue import title_of
from mesh.conformance.reports.words import EXPLAINED, again, summary
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Result

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1b1f;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.4rem 0}dt{color:#5c5c66}dd{margin:0}
details{border-bottom:1px solid #ddd;padding:.25rem 0}summary{cursor:pointer}
pre{overflow-x:auto;background:#f4f4f6;padding:.6rem;font-size:12px;margin:.4rem 0}
.v{display:inline-block;width:3.2rem;font-weight:600}.pass{color:#17692c}.fail,.error{color:#b3131c}.warn{color:#8a5a00}
.info,.skip{color:#5c5c66}
@media(prefers-color-scheme:dark){body{color:#e4e4ea;background:#17171b}pre{background:#222228}
.pass{color:#6fd08a}.fail,.error{color:#ff8088}.warn{color:#f0c060}details{border-color:#333}}
"""


def page(report: Report) -> str:
    """The page."""
    target = report.target
    about = {
        "target": str(target.address),
        "agent": target.agent,
        "protocols": ", ".join(target.protocols),
        "started": report.started.isoformat(timespec="seconds"),
        "result": summary(report),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in about.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Conformance of {escape(target.agent or str(target.peer))}</title><style>{STYLE}</style></head>"
        f"<body><h1>Conformance of {escape(target.agent or str(target.peer))}</h1><dl>{rows}</dl>"
        f"{''.join(_sections(report))}</body></html>"
    )


def _sections(report: Report) -> Iterator[str]:
    for section, results in groupby(report.results, key=lambda each: each.id.partition(".")[0]):
        yield f"<h2>{escape(section)} {escape(title_of(section))}</h2>"
        for each in results:
            yield _case(each, report)


def _case(result: Result, report: Report) -> str:
    facts = {
        "level": f"{result.level}, {result.source}",
        "expected": result.expected,
        "actual": result.actual or "as expected",
        "ending": result.ending or "none",
        "time": f"{result.milliseconds} ms",
        "again": again(result, report),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    wire = escape("\n".join(result.wire.lines()) or "nothing was sent")
    verdict = result.verdict.value
    shown = " open" if result.verdict in EXPLAINED else ""
    return (
        f'<details id="{escape(result.id)}"{shown}><summary><span class="v {verdict}">{verdict}</span> '
        f"{escape(result.id)} {escape(result.title)}</summary><dl>{rows}</dl><pre>{wire}</pre></details>"
    )
