"""The control API of a node: bound before it serves, run inside the node's loop, ended in order.

async with Node(config) as node, ControlApi(node, "127.0.0.1:4003") as api:
    print(api.url)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh.api import token
from mesh.api.application import PREFIX, make_application
from mesh.api.binding import Bound
from mesh.api.desk import Desk
from mesh.api.guard import HEALTH, METRICS, Guard
from mesh.api.served import Served
from mesh.node import Node

if TYPE_CHECKING:
    from mesh.apps.beam.beam import Beam
    from mesh.apps.lethean.service import LetheanService

FILE_NAME: Final = "api.json"


class ControlApi(Served):
    """The API of a running node; see `Served`."""

    title = "the control API"
    token_file = token.FILE_NAME
    note_file = FILE_NAME
    max_connections = 64

    def __init__(
        self,
        node: Node,
        listen: str,
        folder: Path | None = None,
        lethean: LetheanService | None = None,
        beam: Beam | None = None,
    ) -> None:
        super().__init__(listen, folder)
        self._desk = Desk(node, lethean, beam)
        self._metrics = node.config.api.metrics

    @property
    def owner(self) -> str:
        return str(self._desk.node.peer_id)

    def guarded(self, bound: Bound) -> Guard:
        open_paths = {HEALTH} | ({PREFIX + METRICS} if self._metrics == "open" else set())
        return Guard(make_application(self._desk), self.token, bound.hosts, frozenset(open_paths))

    def begin(self, url: str) -> None:
        self._desk.watch.start()

    async def end(self) -> None:
        self._desk.watch.stop()
