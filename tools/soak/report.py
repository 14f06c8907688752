"""What a soak says at its end, in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.soak.verdict import DOUBT, QUANTITIES, WARM_UP, Trend

SHOWN = 20
QUIET = ("tasks", "descriptors", "held_bytes", "connections")
"""What is back where it was before the load when the load is over."""


@dataclass(slots=True)
class Outcome:
    """Samples with the second of each as `at_s`; those before and after the load are apart."""

    before: dict[str, Any]
    after: dict[str, Any]
    samples: list[dict[str, Any]]
    trends: list[Trend]
    did: dict[str, int]
    surprises: dict[str, int]
    trouble: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Why the soak failed; nothing when it did not."""
        found = list(self.trouble)
        for each in self.trends:
            if each.flat is False:
                bound = each.quantity.bound_per_minute
                found.append(
                    f"{each.quantity.name} grew by {each.slope:.3g} {each.quantity.unit} a minute, bound {bound:g}"
                )
        found += [
            f"{member}: {self.after[member]} after the load, {self.before[member]} before it"
            for member in QUIET
            if self.after[member] > self.before[member]
        ]
        if self.after["errors"]:
            found.append(
                f"the node logged {self.after['errors']} errors, at last: {self.after['last_error']}"
            )
        return found


def markdown(outcome: Outcome, minutes: float, seed: int) -> str:
    """Verdict, trends, what was done, samples."""
    failures = outcome.failures
    text = [
        "# Soak",
        "",
        f"{minutes:g} minutes, seed {seed}, {len(outcome.samples)} samples, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores.",
        "",
        f"**{'FAILED' if failures else 'Flat' if _judged(outcome) else 'Too short to judge'}.**",
        *(f"- {each}" for each in failures),
        "",
        *_trends(outcome),
        "",
        f"Slopes are per minute, least squares without the first {WARM_UP:.0%} of the samples; above the bound is what "
        f"is so by {DOUBT:g} standard errors.",
        "",
        "Before and after the load: "
        + ", ".join(f"{each} {outcome.before[each]} / {outcome.after[each]}" for each in QUIET)
        + ".",
        "",
        "Done: " + ", ".join(f"{count:,} {what}" for what, count in sorted(outcome.did.items())) + ".",
    ]
    if outcome.surprises:
        text += ["", "Failures that clients and visits met (killed peers cause some):"]
        ordered = sorted(outcome.surprises.items(), key=lambda each: -each[1])
        text += [f"- {count} x {what}" for what, count in ordered[:SHOWN]]
    text += ["", *_samples(outcome.samples)]
    return "\n".join(text) + "\n"


def _judged(outcome: Outcome) -> bool:
    return all(each.flat is not None for each in outcome.trends)


def _trends(outcome: Outcome) -> Iterator[str]:
    yield "| quantity | least | most | last | slope | standard error | bound | flat |"
    yield f"|{'---|' * 8}"
    for each in outcome.trends:
        quantity = each.quantity
        flat = {True: "yes", False: "NO", None: "?"}[each.flat]
        values = " | ".join(f"{value:,.0f}" for value in (each.least, each.most, each.last))
        unit = f", {quantity.unit}" if quantity.unit else ""
        yield (
            f"| {quantity.name}{unit} | {values} | {each.slope:+.3g} | {each.error:.2g} | "
            f"{quantity.bound_per_minute:g} | {flat} |"
        )


def _samples(samples: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield f"| s | {' | '.join(each.member for each in QUANTITIES)} | connections |"
    yield f"|{'---|' * (len(QUANTITIES) + 2)}"
    for each in samples:
        values = " | ".join(str(each[quantity.member]) for quantity in QUANTITIES)
        yield f"| {each['at_s']:.0f} | {values} | {each['connections']} |"
