"""Blocks, pins, files and the store of them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from mesh.api import block_shapes as shapes
from mesh.api.desk import AtDesk, Desk
from mesh.api.streaming import streamed
from mesh.errors import TimedOut, UsageError
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mesh.services.files import cid_of

router = APIRouter(tags=["blocks"])

CODECS = {"raw": RAW, "dag-pb": DAG_PB, "dag-cbor": DAG_CBOR}
PIECE_BYTES = 256 * 1024


@router.post("/blocks/put")
async def put_block(desk: AtDesk, asked: shapes.BlockAsked) -> shapes.BlockPut:
    """Keep a block; answers once it is safe. Unpinned it goes at the next collection."""
    try:
        data = base64.b64decode(asked.data, validate=True)
    except binascii.Error:
        raise UsageError("data: not in base64") from None
    block = Block.of(data, CODECS[asked.codec])
    await desk.node.blocks.put(block)
    return shapes.BlockPut(cid=str(block.cid), size=len(data))


@router.post("/blocks/get")
async def get_block(desk: AtDesk, asked: shapes.FetchAsked) -> shapes.BlockGot:
    """A block in base64: the one that is here, else peers are asked where blocks are exchanged."""
    cid = cid_of(asked.cid)
    block = desk.node.blocks.get(cid)
    if block is None:
        async with _within(asked.limit_s, asked.cid):
            block = await desk.node.bitswap.get(cid)
    return shapes.BlockGot(cid=str(cid), data=base64.b64encode(block.data).decode())


@router.post("/blocks/stat")
async def show_block(desk: AtDesk, asked: shapes.FetchAsked) -> shapes.BlockShown:
    """How large a block is, and whether a pin names it. It is got from peers when it is not here."""
    cid = cid_of(asked.cid)
    size = desk.node.blocks.size_of(cid)
    if size is None:
        async with _within(asked.limit_s, asked.cid):
            size = len((await desk.node.bitswap.get(cid)).data)
    return shapes.BlockShown(cid=str(cid), size=size, pinned=_is_pinned(desk, cid))


@router.post("/blocks/remove")
async def remove_block(desk: AtDesk, asked: shapes.CidAsked) -> shapes.Removed:
    """Remove a block from here. One that a pin names is refused; nothing looks whether another needs it."""
    cid = cid_of(asked.cid)
    return shapes.Removed(cid=str(cid), removed=await desk.node.blocks.delete(cid))


@router.get("/pins")
async def list_pins(desk: AtDesk) -> shapes.PinsShown:
    """All pins."""
    found = desk.node.blocks.pins()
    return shapes.PinsShown(
        pins=[shapes.PinShown(cid=str(each.cid), recursive=each.recursive, name=each.name) for each in found]
    )


@router.post("/pins/add")
async def add_pin(desk: AtDesk, asked: shapes.PinAsked) -> shapes.PinPut:
    """Have a CID here, with all below it unless told otherwise, and let it stay. Announced in the DHT if pins are."""
    cid = cid_of(asked.cid)
    async with _within(asked.limit_s, asked.cid):
        await desk.node.files.pin(cid, recursive=asked.recursive, name=asked.name)
    return shapes.PinPut(cid=str(cid), recursive=asked.recursive)


@router.post("/pins/remove")
async def remove_pin(desk: AtDesk, asked: shapes.CidAsked) -> shapes.Removed:
    """Let go of a pin; what it held goes at the next collection."""
    cid = cid_of(asked.cid)
    return shapes.Removed(cid=str(cid), removed=await desk.node.files.unpin(cid))


@router.get("/repo/stat")
async def show_repo(desk: AtDesk) -> shapes.RepoShown:
    """What is kept, what is sought, and what went between this node and each peer."""
    usage, node = desk.node.blocks.usage, desk.node
    bitswap = node.bitswap if node.config.blocks.exchange else None
    peers = [] if bitswap is None else bitswap.exchanged()
    return shapes.RepoShown(
        blocks=usage.blocks,
        bytes=usage.bytes,
        max_bytes=usage.max_bytes,
        pins=len(node.blocks.pins()),
        exchange=bitswap is not None,
        seeking=[] if bitswap is None else [str(each) for each in bitswap.wants()],
        peers=[
            shapes.ExchangedShown(
                peer=str(each.peer),
                version=each.version,
                received_blocks=each.received_blocks,
                received_bytes=each.received_bytes,
                sent_bytes=each.sent_bytes,
                wants=each.wants,
                latency_ms=round(1000 * each.latency_s, 3),
            )
            for each in peers
        ],
    )


@router.post("/repo/gc")
async def collect_blocks(desk: AtDesk) -> shapes.CollectedShown:
    """Remove blocks that neither a pin nor the history of a replicated mapping holds."""
    found = await desk.node.collect_blocks()
    return shapes.CollectedShown(
        removed=found.removed, removed_bytes=found.removed_bytes, kept=found.kept, missing=found.missing
    )


@router.post("/files/get", response_class=StreamingResponse)
async def get_file(desk: AtDesk, asked: shapes.PathAsked) -> StreamingResponse:
    """A file in order: a line `{"type":"data","data":"..."}` in base64 for each piece, at the end
    `{"type":"end","cid":"...","size":N}`. A line of type `error` ends what cannot go on."""
    return streamed(_pieces(desk, asked))


@router.post("/files/entries")
async def list_directory(desk: AtDesk, asked: shapes.PathAsked) -> shapes.EntriesShown:
    """What a directory names."""
    files = desk.node.files
    async with _within(asked.limit_s, asked.path):
        cid = await files.resolve(asked.path)
        found = await files.entries(cid)
    shown = [
        shapes.EntryShown(name=each.name, cid=str(each.cid), total_bytes=each.total_bytes) for each in found
    ]
    return shapes.EntriesShown(cid=str(cid), entries=shown)


async def _pieces(desk: Desk, asked: shapes.PathAsked) -> AsyncGenerator[dict[str, Any], None]:
    files, size = desk.node.files, 0
    async with _within(asked.limit_s, asked.path):
        cid = await files.resolve(asked.path)
        async for piece in files.read(cid):
            size += len(piece)
            for at in range(0, len(piece), PIECE_BYTES):
                yield {"type": "data", "data": base64.b64encode(piece[at : at + PIECE_BYTES]).decode()}
    yield {"type": "end", "cid": str(cid), "size": size}


def _is_pinned(desk: Desk, cid: Cid) -> bool:
    return any(each.cid.multihash == cid.multihash for each in desk.node.blocks.pins())


@asynccontextmanager
async def _within(limit_s: float, what: str) -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise TimedOut(f"nobody gave {what} within {limit_s:g} s") from None
