"""Peers that fill a DHT server's stores, or keep it waiting."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from mesh.codecs.kademlia import Message, MessageType, Peer, ValueRecord
from mesh.errors import StreamReset
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.node import Node
from mesh.services.kademlia import server as serving
from tests.hostile.conftest import Target
from tests.hostile.dht import (
    HERE,
    KIB,
    MIB,
    PROTOCOL,
    ask,
    attacker,
    multihash,
    server,
    serves_others,
    was_reset,
)


def announcement(node: Node, key: bytes) -> bytes:
    return Message(
        MessageType.ADD_PROVIDER, key, provider_peers=[Peer(node.peer_id.to_bytes(), [HERE])]
    ).encode()


def key_record(key: PrivateKey) -> Message:
    name = b"/pk/" + PeerId.from_public_key(key.public).to_bytes()
    return Message(MessageType.PUT_VALUE, name, ValueRecord(name, key.public.to_protobuf()))


@server(provider_peer_entries=50)
async def test_a_provider_of_everything(target: Target) -> None:
    store = target.node.dht.providers
    async with attacker(target) as node:
        other = await node.open(target.node.peer_id, PROTOCOL)
        await ask(other, Message(MessageType.PING))
        for _ in range(3):
            stream = await node.open(target.node.peer_id, PROTOCOL)
            with contextlib.suppress(StreamReset):
                for _ in range(60):
                    await stream.write_message(announcement(node, multihash()))
            await was_reset(stream)
        assert store.strangers.entries == len(store) == 50
        assert (await ask(other, Message(MessageType.PING))).type is MessageType.PING, (
            "its other streams live"
        )
        await serves_others(target)
    async with attacker(target) as second, await second.open(target.node.peer_id, PROTOCOL) as stream:
        await stream.write_message(announcement(second, key := multihash()))
        listed = (await ask(stream, Message(MessageType.GET_PROVIDERS, key))).provider_peers
        assert [each.id for each in listed] == [second.peer_id.to_bytes()]


@server(provider_entries=70, provider_peer_entries=50, provider_key_entries=3)
async def test_many_providers(target: Target) -> None:
    store, popular = target.node.dht.providers, multihash()
    async with contextlib.AsyncExitStack() as attackers:
        nodes = [await attackers.enter_async_context(attacker(target)) for _ in range(5)]
        for number, node in enumerate(nodes):
            stream = await node.open(target.node.peer_id, PROTOCOL)
            await stream.write_message(announcement(node, popular))
            if number < 3:
                await ask(stream, Message(MessageType.PING))
            else:
                await was_reset(stream)
        for node in nodes:
            stream = await node.open(target.node.peer_id, PROTOCOL)
            with contextlib.suppress(StreamReset):
                for _ in range(40):
                    await stream.write_message(announcement(node, multihash()))
                await ask(stream, Message(MessageType.PING))
        assert store.strangers.entries == 70
        assert len(await store.get(popular)) == 3
        await serves_others(target)


@server(record_peer_entries=20, record_entries=30)
async def test_a_flood_of_records(target: Target) -> None:
    store = target.node.dht.records
    for _ in range(2):
        async with attacker(target) as node:
            stream = await node.open(target.node.peer_id, PROTOCOL)
            first = key_record(PrivateKey.generate())
            await ask(stream, first)
            with contextlib.suppress(StreamReset):
                for _ in range(25):
                    await ask(stream, key_record(PrivateKey.generate()))
            again = await node.open(target.node.peer_id, PROTOCOL)
            assert (await ask(again, first)).record is not None, "what it has may be put again"
    assert store.strangers.entries == len(store) == 30
    await serves_others(target)


@server(record_value_bytes=1024)
async def test_a_value_that_is_too_long(target: Target) -> None:
    class Anything:
        def validate(self, key: bytes, value: bytes, now: float) -> None:
            return

        def select(self, key: bytes, values: Any) -> int:
            return 0

    target.node.dht.validators.register("v", Anything())
    async with attacker(target) as node:
        for size in (1025, 50 * KIB, 3 * MIB):
            stream = await node.open(target.node.peer_id, PROTOCOL)
            with contextlib.suppress(StreamReset):
                await stream.write_message(
                    Message(MessageType.PUT_VALUE, b"/v/x", ValueRecord(b"/v/x", bytes(size))).encode()
                )
            await was_reset(stream)
    assert not len(target.node.dht.records)


@server()
async def test_messages_longer_than_anything_kept(target: Target) -> None:
    """Each of many streams could promise 4 MiB and have the server hold nearly as much: it waits for no such message."""
    async with attacker(target) as node:
        for promised in (4 * MIB, MIB, 512 * KIB):
            stream = await node.open(target.node.peer_id, PROTOCOL)
            await stream.write(varint.encode(promised))
            await was_reset(stream)
        await serves_others(target)


@server()
async def test_addresses_without_end(target: Target) -> None:
    """A message with a hundred thousand broken addresses costs no more reading than one with a few."""
    async with attacker(target) as node:
        entries = [Peer(node.peer_id.to_bytes(), [b"\x04\x7f"] * 500) for _ in range(100)]
        stream = await node.open(target.node.peer_id, PROTOCOL)
        await stream.write_message(
            Message(MessageType.ADD_PROVIDER, multihash(), provider_peers=entries).encode()
        )
        await was_reset(stream)
    assert not len(target.node.dht.providers)


@server()
async def test_one_byte_at_a_time(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "IDLE_S", 0.2)
    message = bytes(50_000)  # however quick the machine, its end is never sent
    async with attacker(target) as node:
        stream = await node.open(target.node.peer_id, PROTOCOL)
        reader = asyncio.ensure_future(was_reset(stream))
        sent = 0
        for byte in varint.encode(len(message)) + message:
            with contextlib.suppress(StreamReset):
                await stream.write(bytes([byte]))
            sent += 1
            await serves_others(target)
            if reader.done():
                break
        await reader
        assert sent < len(message), "the time is for the whole request"
