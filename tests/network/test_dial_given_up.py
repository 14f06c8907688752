"""A dial that is given up in the moment in which its connection was made."""

from __future__ import annotations

import asyncio

import pytest

from mesh.network.connection import Connection
from tests.network.live import PATIENCE_S, TCP, Nodes, eventually, nothing_left


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [TCP, f"{TCP}/ws"], ids=["tcp", "ws"])
async def test_the_node_still_ends(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    connected = Connection.connected

    async with nothing_left(), Nodes() as nodes:
        server, client = await nodes.start(listen), await nodes.start("")
        dial = asyncio.create_task(client.connect(server.listen_addrs[0]))

        def give_up(self: Connection, transport: asyncio.BaseTransport) -> None:
            connected(self, transport)
            if not self.inbound:
                for task in asyncio.all_tasks():
                    if task is dial or task.get_name().startswith("dial"):
                        task.cancel()

        monkeypatch.setattr(Connection, "connected", give_up)
        with pytest.raises(asyncio.CancelledError):
            await dial
        async with asyncio.timeout(PATIENCE_S):
            await client.stop()
        await eventually(lambda: not server.connections)
