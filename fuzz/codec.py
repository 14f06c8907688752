"""`python -m fuzz.codec [format ...] [--seconds N] [--seed S]`: generated codecs against interpreted schemas.

Mutates the corpus, saves every input on which the two differ, or on which one raises what it must not, to
`fuzz/regressions/<format>/`, and exits with 1 if there was any.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from fuzz.campaign import campaign
from fuzz.mutation import mutate
from fuzz.pairs import Pair, pairs

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"


def inputs(name: str) -> list[bytes]:
    """The corpus and the regressions of a format."""
    return [path.read_bytes() for path in input_files(name)]


def input_files(name: str) -> list[Path]:
    """The files of a format's corpus and regressions."""
    return sorted([*(CORPUS / name).glob("*.bin"), *(REGRESSIONS / name).glob("*.bin")])


def examine(pair: Pair, data: bytes) -> str | None:
    """The fault an input shows, in words; None if there is none."""
    try:
        return pair.disagreement(data)
    except Exception:  # noqa: BLE001 - anything that escapes a decoder is a finding
        return f"{pair.name}: {data.hex()}: {traceback.format_exc()}"


def fuzz(
    pair: Pair, seconds: float, rng: random.Random, regressions: Path = REGRESSIONS
) -> tuple[int, list[str]]:
    """Mutate the corpus of one format for a time; return the number of inputs tried and the faults."""
    corpus = inputs(pair.name) or [b""]
    return campaign(
        lambda: mutate(rng.choice(corpus), corpus, rng),
        lambda data: examine(pair, data),
        regressions / pair.name,
        seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    known = pairs()
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.codec", description="generated codecs against schemas"
    )
    parser.add_argument("formats", nargs="*", metavar="format", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each format")
    parser.add_argument("--seed", type=int, default=None, help="makes a run repeatable but for its length")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.formats if name not in known]
    if unknown:
        parser.error(f"no format {unknown[0]}")
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}")
    failed = False
    for name in options.formats or known:
        tried, faults = fuzz(known[name], options.seconds, random.Random(f"{seed} {name}"))
        print(f"{name}: {tried} inputs, {len(faults)} faults")
        for fault in faults:
            print(f"  {fault}")
        failed = failed or bool(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
