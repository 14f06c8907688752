"""How large this machine is, for limits that scale with it."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

FALLBACK_MEMORY_BYTES = 1024 * 1024 * 1024
FALLBACK_DESCRIPTORS = 1024


class MachineSize(NamedTuple):
    """Physical memory in bytes, and how many descriptors this process may have open."""

    memory_bytes: int
    descriptors: int


def machine_size() -> MachineSize:
    """What the system says; modest figures where it says nothing."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        memory = FALLBACK_MEMORY_BYTES
    return MachineSize(memory if memory > 0 else FALLBACK_MEMORY_BYTES, _descriptors())


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; returns what holds now."""
    if sys.platform == "win32":
        return FALLBACK_DESCRIPTORS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            return soft
    return hard


def _descriptors() -> int:
    if sys.platform == "win32":
        return FALLBACK_DESCRIPTORS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FALLBACK_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
