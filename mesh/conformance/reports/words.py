"""A run in words: a line a case under its section, with what was expected and seen where they differ."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.conformance.catalogue import title_of
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Result, Verdict
from mesh.telemetry.log import printable

MARKS = {
    Verdict.PASS: "ok  ",
    Verdict.FAIL: "FAIL",
    Verdict.WARN: "warn",
    Verdict.INFO: "info",
    Verdict.SKIP: "skip",
    Verdict.ERROR: "ERR ",
}
EXPLAINED = (Verdict.FAIL, Verdict.WARN, Verdict.ERROR)


def lines(report: Report, *, verbose: bool = False) -> Iterator[str]:
    """The whole report; ``verbose`` adds what was seen to every line, and the wire log to failures."""
    section = ""
    for result in report.results:
        name = result.id.partition(".")[0]
        if name != section:
            section = name
            yield f"{section} {title_of(section)}"
        yield from _result(result, report, verbose)
    failures = report.failures()
    if failures:
        yield ""
        yield "failures:"
        for result in failures:
            yield f"  {result.id} {result.title}: {printable(result.actual)}"
    yield ""
    yield summary(report)


def _result(result: Result, report: Report, verbose: bool) -> Iterator[str]:
    line = f"  {MARKS[result.verdict]} {result.id:<18} {result.title}"
    shown = result.verdict in (Verdict.INFO, Verdict.SKIP) or verbose
    yield f"{line}: {printable(result.actual)}" if shown and result.actual else line
    if result.verdict not in EXPLAINED:
        return
    yield f"         {result.level}, {result.source}"
    yield f"         expected  {result.expected}"
    yield f"         actual    {printable(result.actual)}"
    yield f"         ending    {result.ending}"
    yield f"         again     {again(result, report)}"
    if verbose:
        for each in result.wire.lines():
            yield f"           {printable(each)}"


def again(result: Result, report: Report) -> str:
    """The command that repeats a case. A key is not told: its file is named by who gave it."""
    options, target = report.options, report.target
    bare = target.address.without_peer()
    words = [f"mesh conform --listen {bare}" if report.mirrored else f"mesh conform {target.address}"]
    words += [result.id, "--seed", options.seed, "--harmful --slow"]
    if options.scale != 1:
        words.append(f"--timeout-scale {options.scale:g}")
    if target.security in target.securities[1:]:
        words.append(f"--security {target.security}")
    if options.chunk_bytes:
        words.append(f"--chunk {options.chunk_bytes}")
    named = {"topic": options.topic, "witness": options.witness, "relay-through": options.relay_through}
    words += [f"--{name} {value}" for name, value in named.items() if value]
    if options.public:
        words.append("--public")
    if options.target_key is not None:
        words.append("--target-key FILE")
    return " ".join([*words, "-v"])


def summary(report: Report) -> str:
    """Counts of all verdicts, on one line."""
    counts = ", ".join(f"{report.count(each)} {each.value}" for each in Verdict)
    text = f"{len(report.results)} cases: {counts}; seed {report.options.seed}; {report.seconds:.1f} s"
    return text if report.survived else f"{text}; THE TARGET NO LONGER ANSWERS"
