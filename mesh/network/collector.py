"""Python's garbage collector, told to look through everything less often: a node holds many long-lived objects.

With the default thresholds half the CPU time of a process with thousands of connections went into that. What is young
is collected as before, while it is still in the processor's cache. A program that has set thresholds of its own keeps
them.
"""

from __future__ import annotations

import gc
from typing import Final

DEFAULTS: Final = frozenset({(700, 10, 10), (2000, 10, 10)})
"""Of CPython 3.11 to 3.13; later ones collect the old in steps by themselves."""
LAST_THRESHOLD: Final = 100


def collect_less_often() -> bool:
    """Raise the oldest generation's threshold for this process; False where they are not the default."""
    now = gc.get_threshold()
    if now not in DEFAULTS:
        return False
    gc.set_threshold(*now[:2], LAST_THRESHOLD)
    return True
