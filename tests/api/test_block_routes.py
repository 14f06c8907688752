"""The routes about blocks, pins and files, with two live nodes."""

from __future__ import annotations

import base64
import json
import random

import httpx
import pytest

from mesh.ipld.block import Block
from mesh.multiformats.cid import RAW
from mesh.node import Node
from tests.api.test_guard import check_problem
from tests.network.live import Nodes
from tests.services.bitswap.live import block, exchanging, join
from tests.services.test_files import pieces


@pytest.fixture
async def node(nodes: Nodes) -> Node:
    return await exchanging(nodes)


@pytest.fixture
async def other(nodes: Nodes, node: Node) -> Node:
    peer = await exchanging(nodes)
    await join(node, peer)
    return peer


async def ask(caller: httpx.AsyncClient, route: str, **body: object) -> dict[str, object]:
    answer = await caller.post(f"/v0{route}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_a_block_goes_in_and_out(caller: httpx.AsyncClient, node: Node) -> None:
    data = base64.b64encode(b"some bytes").decode()
    cid = str(Block.of(b"some bytes", RAW).cid)
    assert await ask(caller, "/blocks/put", data=data) == {"cid": cid, "size": 10}
    assert await ask(caller, "/blocks/get", cid=cid) == {"cid": cid, "data": data}
    assert await ask(caller, "/blocks/stat", cid=cid) == {"cid": cid, "size": 10, "pinned": False}
    assert await ask(caller, "/blocks/remove", cid=cid) == {"cid": cid, "removed": True}
    assert await ask(caller, "/blocks/remove", cid=cid) == {"cid": cid, "removed": False}
    assert node.blocks.usage.blocks == 0


async def test_a_block_of_1_mib_fits(caller: httpx.AsyncClient) -> None:
    done = await ask(caller, "/blocks/put", data=base64.b64encode(bytes(1024 * 1024)).decode())
    assert done["size"] == 1024 * 1024


async def test_blocks_come_from_peers(caller: httpx.AsyncClient, node: Node, other: Node) -> None:
    wanted, too = block("wanted", 3000), block("too", 3000)
    await other.blocks.put(wanted, too)
    found = await ask(caller, "/blocks/get", cid=str(wanted.cid))
    assert base64.b64decode(str(found["data"])) == wanted.data
    assert (await ask(caller, "/blocks/stat", cid=str(too.cid)))["size"] == 3000
    told = (await caller.get("/v0/repo/stat")).json()
    assert told["exchange"]
    assert told["peers"][0]["received_blocks"] == 2


async def test_what_nobody_has_ends_in_time(caller: httpx.AsyncClient, other: Node) -> None:
    absent = block("absent")
    answer = await caller.post("/v0/blocks/get", json={"cid": str(absent.cid), "limit_s": 0.2})
    check_problem(answer, 504, "timed-out")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/blocks/put", {"data": "%"}),
        ("/blocks/get", {"cid": "nonsense"}),
        ("/blocks/put", {"data": "", "codec": "nonsense"}),
        ("/pins/add", {"cid": "nonsense"}),
        ("/files/entries", {"path": "nonsense"}),
    ],
)
async def test_what_makes_no_sense(caller: httpx.AsyncClient, path: str, body: dict[str, str]) -> None:
    answer = await caller.post(f"/v0{path}", json=body)
    assert 400 <= answer.status_code < 500


async def test_pins_fetch_hold_and_let_go(caller: httpx.AsyncClient, node: Node, other: Node) -> None:
    file = await other.files.add(pieces(random.Random(4).randbytes(700_000)))
    loose = block("loose")
    await node.blocks.put(loose)
    done = await ask(caller, "/pins/add", cid=str(file.cid), name="a file")
    assert done == {"cid": str(file.cid), "recursive": True}
    pins = (await caller.get("/v0/pins")).json()["pins"]
    assert pins == [{"cid": str(file.cid), "recursive": True, "name": "a file"}]
    collected = (await caller.post("/v0/repo/gc")).json()
    assert (collected["removed"], collected["kept"], collected["missing"]) == (1, 4, 0)
    refused = await caller.post("/v0/blocks/remove", json={"cid": str(file.cid)})
    check_problem(refused, 400, "usage")
    assert (await ask(caller, "/pins/remove", cid=str(file.cid)))["removed"]
    assert (await caller.post("/v0/repo/gc")).json()["removed"] == 4


async def test_files_and_directories(caller: httpx.AsyncClient, other: Node) -> None:
    content = random.Random(5).randbytes(600_000)
    file = await other.files.add(pieces(content), pin=False)
    root = await other.files.add_directory({"a file": file})
    found = await ask(caller, "/files/entries", path=str(root.cid))
    assert found["entries"] == [{"name": "a file", "cid": str(file.cid), "total_bytes": file.total_bytes}]
    async with caller.stream("POST", "/v0/files/get", json={"path": f"/ipfs/{root.cid}/a file"}) as answer:
        lines = [json.loads(line) async for line in answer.aiter_lines()]
    *data, end = lines
    assert b"".join(base64.b64decode(each["data"]) for each in data) == content
    assert end == {"type": "end", "cid": str(file.cid), "size": 600_000}
    async with caller.stream("POST", "/v0/files/get", json={"path": f"{root.cid}/none"}) as answer:
        (line,) = [json.loads(line) async for line in answer.aiter_lines()]
    assert (line["type"], line["problem"]["code"]) == ("error", "not-found")
