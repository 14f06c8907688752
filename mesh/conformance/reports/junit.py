"""A run as JUnit's XML: a suite for each section, a case for each case."""

from __future__ import annotations

from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, tostring

from mesh.conformance.catalogue import title_of
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Result, Verdict


def junit(report: Report, wire_names: dict[str, str] | None = None) -> bytes:
    """The XML; ``wire_names``: files of the wire logs by case id."""
    failed = {each.id for each in report.failures()}
    root = Element("testsuites")
    for section, group in groupby(report.results, key=lambda each: each.id.partition(".")[0]):
        results = list(group)
        suite = SubElement(
            root,
            "testsuite",
            name=f"{section} {title_of(section)}",
            package=section.partition("/")[0],
            id=section,
            tests=str(len(results)),
            failures=str(sum(each.id in failed for each in results)),
            errors=str(sum(each.verdict is Verdict.ERROR for each in results)),
            skipped=str(sum(each.verdict is Verdict.SKIP for each in results)),
            time=f"{sum(each.milliseconds for each in results) / 1000:.3f}",
        )
        for each in results:
            _case(suite, each, each.id in failed, (wire_names or {}).get(each.id, ""))
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _case(suite: Element, result: Result, failed: bool, wire_name: str) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=result.id.partition("/")[0],
        name=f"{result.id} {result.title}",
        time=f"{result.milliseconds / 1000:.3f}",
    )
    what = _clean(f"expected: {result.expected}\nactual: {result.actual}\nending: {result.ending}")
    if failed:
        SubElement(case, "failure", message=_clean(result.actual), type=result.level.value).text = what
    elif result.verdict is Verdict.ERROR:
        SubElement(case, "error", message=_clean(result.actual), type="error").text = what
    elif result.verdict is Verdict.SKIP:
        SubElement(case, "skipped", message=_clean(result.actual))
    if wire_name:
        SubElement(case, "system-out").text = wire_name


def _clean(text: str) -> str:
    """XML has no control characters."""
    return "".join(each if each in "\n\t" or each.isprintable() else "\ufffd" for each in text)
