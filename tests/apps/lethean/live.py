"""Nodes of the Lethean mesh on loopback, a worker of plain objects, and bytes of our own as a peer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mesh.apps.lethean.deployments import Deployments
from mesh.apps.lethean.duplicates import Duplicates
from mesh.apps.lethean.instant import stamp
from mesh.apps.lethean.miners import MinerFigures
from mesh.apps.lethean.node import LetheanNode
from mesh.apps.lethean.permissions import Permissions
from mesh.apps.lethean.worker import Worker
from mesh.config import LetheanSection
from mesh.errors import PeerError
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.identity import NodeKey

ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645c6db1e2b6a1f0f6f4d0f7e0d2c2a5c6d")
ALICE_ID = "2a49bc4a14e72ca66ec45cdb9a5e09da"
LOOPBACK = "127.0.0.1:0"


def own(seed: bytes | int, name: str = "mesh-node", role: str = "dual") -> Own:
    """An identity made of 32 bytes, or of a number."""
    key = NodeKey(seed if isinstance(seed, bytes) else bytes([seed]) * 32)
    return Own(key, key.identity(name, stamp(), role))


class Diggers:
    """Miners that are entries of a list, as those the vectors were recorded with."""

    def __init__(self) -> None:
        self.names = ["xmrig-1"]
        self.started: list[tuple[str, str]] = []

    async def start(self, kind: str, config: str) -> str:
        if kind == "fail":
            raise PeerError("cannot start")
        self.started.append((kind, config))
        self.names.append(f"{kind}-{len(self.started) + 1}")
        return self.names[-1]

    async def stop(self, name: str) -> None:
        if name not in self.names:
            raise PeerError(f"miner {name} not found")
        self.names.remove(name)

    def figures(self) -> Sequence[MinerFigures]:
        return [
            MinerFigures(name, name.partition("-")[0], 1234.5, 10, 1, 3600, "pool:3333", "rx/0")
            for name in self.names
        ]

    def log(self, name: str, lines: int, since_ms: int) -> list[str] | None:
        if name not in self.names:
            return None
        return [] if since_ms else [f"log line {number}" for number in (1, 2, 3)][-lines:]


class Shelf:
    """Profiles in a dictionary; one that says `reject` is refused."""

    def __init__(self) -> None:
        self.saved: dict[str, str] = {"p1": '{"id":"p1"}'}

    def get(self, name: str) -> str | None:
        return self.saved.get(name)

    def save(self, name: str, config: str) -> None:
        if "reject" in json.loads(config):
            raise PeerError("profile rejected")
        self.saved[name] = config


def worker(
    of: Own,
    folder: Path,
    grants: Sequence[str] = ("*=all",),
    *,
    managed: bool = True,
    unix_ms: Callable[[], int] | None = None,
    **more: Any,
) -> Worker:
    """A worker with a list of miners and a shelf of profiles, or with neither."""
    if unix_ms is not None:
        more["unix_ms"] = unix_ms
    if managed:
        more = {"miners": Diggers(), "profiles": Shelf(), **more}
    return Worker(of.identity.id, of.identity.name, Permissions(grants), Deployments(folder), **more)


def node(
    of: Own, *, answering: Worker | None = None, seen: Path | None = None, **settings: Any
) -> LetheanNode:
    """A node that is not started yet, open to everyone on a free port unless the settings say otherwise."""
    section = LetheanSection(**{"listen": LOOPBACK, "mode": "open", **settings})
    return LetheanNode(section, of, worker=answering, seen=None if seen is None else Duplicates(seen))
