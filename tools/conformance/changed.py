"""`ourselves` with one change: `-m tools.conformance.changed NAME [argument...]`."""

from __future__ import annotations

import sys

from tools.conformance import changes
from tools.conformance.mutants import MUTANTS, PUBLIC_MUTANTS
from tools.conformance.variants import VARIANTS


def main() -> None:
    named = {each.name: each for each in (*MUTANTS, *PUBLIC_MUTANTS, *VARIANTS)}
    changes.apply(named[sys.argv.pop(1)])
    from tools.conformance.ourselves import main as serve

    serve()


if __name__ == "__main__":
    main()
