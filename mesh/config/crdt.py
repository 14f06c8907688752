"""The settings of replicated mappings: topics, snapshots and history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mesh.config.rules import Section, count, size, switch
from mesh.config.values import MIB, Setting


@dataclass(frozen=True, slots=True)
class CrdtSection(Section):
    """Mappings that every node in a topic has."""

    serve_snapshots: Annotated[
        bool,
        switch(
            "Give peers that ask, and so can tell this program from others, what a replica knows, signed."
        ),
    ] = False
    trusted: Annotated[
        tuple[str, ...],
        Setting(
            "Peer ids whose snapshots are taken by a replica that is far behind; empty for nobody's.", "list"
        ),
    ] = ()
    max_snapshot_bytes: Annotated[int, size("Longest snapshot that is taken.")] = 1024 * MIB
    drop_history: Annotated[
        tuple[str, ...],
        Setting("Topics of nodes of this program alone, of which old blocks are removed.", "list"),
    ] = ()
    history_kept: Annotated[
        int, count("Heights below the highest head of which blocks stay in those.", 1, 1_000_000_000)
    ] = 10_000
