"""The settings of blocks: how many are kept, and whether they are exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mesh.config.rules import Section, size, switch
from mesh.config.values import MIB, Setting

ANNOUNCED = ("nothing", "pinned", "all")


@dataclass(frozen=True, slots=True)
class BlocksSection(Section):
    """Content by its hash."""

    enabled: Annotated[bool, switch("Keep blocks: files, and the history of replicated mappings.")] = False
    max_bytes: Annotated[
        int, size("Blocks kept; beyond it new ones are refused until some are unpinned and collected.")
    ] = 10 * 1024 * MIB
    exchange: Annotated[bool, switch("Ask connected peers for blocks and give them ours (bitswap).")] = False
    search: Annotated[
        bool, switch("Look for who has a block in the DHT, and connect, when no connected peer has it.")
    ] = True
    announce: Annotated[
        str, Setting("What is announced in the DHT, again every 22 hours.", choices=ANNOUNCED)
    ] = "pinned"
