"""The `mesh` command, also as `python -m mesh`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on the arguments of this process and exit with its status."""
    from mesh.console.application import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
