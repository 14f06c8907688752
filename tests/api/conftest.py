"""A node with a control API, a caller that holds its token, and the check for leftovers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.node import Node
from tests.network.live import Nodes, nothing_left


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.fixture
async def node(nodes: Nodes) -> Node:
    return await nodes.start(serve=("echo", "perf"))


@pytest.fixture
async def peer(nodes: Nodes) -> Node:
    return await nodes.start(serve=("echo", "perf"))


@pytest.fixture
async def api(node: Node, tmp_path: Path) -> AsyncIterator[ControlApi]:
    async with ControlApi(node, "127.0.0.1:0", tmp_path) as running:
        yield running


@pytest.fixture
async def caller(api: ControlApi) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {api.token}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False, timeout=10) as client:
        yield client
