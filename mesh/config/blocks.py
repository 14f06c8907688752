"""The settings of blocks: how many are kept, and whether they are exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mesh.config.rules import Section, size, switch
from mesh.config.values import MIB


@dataclass(frozen=True, slots=True)
class BlocksSection(Section):
    """Content by its hash."""

    enabled: Annotated[bool, switch("Keep blocks: files, and the history of replicated mappings.")] = False
    max_bytes: Annotated[
        int, size("Blocks kept; beyond it new ones are refused until some are unpinned and collected.")
    ] = 10 * 1024 * MIB
