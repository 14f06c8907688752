"""What fools or crashes a Go node costs its sender the connection, or nothing at all; others are not disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.carrier import dial_carrier
from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.node import LetheanNode
from mesh.apps.lethean.worker import Worker
from mesh.errors import Closed, LimitError
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Own
from mesh.protocols.lethean.messages import Deploy, ErrorReply, Handshake, Ping, Pong, StartMiner, StopMiner
from tests.apps.lethean.live import Diggers, node, own, worker
from tests.apps.lethean.raw_client import raw_client
from tests.network.live import eventually

US, FRIEND, FOE = own(1, "us"), own(2, "friend"), own(3, "foe")
QUICK: dict[str, Any] = {"handshake_timeout_s": 0.3}


class Running:
    """A node with a worker, and a friend that must not be disturbed."""

    def __init__(self, us: LetheanNode, friend: LetheanNode, made: Worker) -> None:
        self.us = us
        self.friend = friend
        self.worker = made

    async def undisturbed(self) -> None:
        """The friend is still served."""
        assert await self.friend.measure(self.friend.links[US.identity.id]) > 0


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Running]:
    made = worker(US, folder)
    us = node(US, answering=made, **settings)
    try:
        async with us, node(FRIEND, listen="off") as friend:
            await friend.connect(us.listen_address)
            found = Running(us, friend, made)
            yield found
            await found.undisturbed()
    finally:
        made._deployments.close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"type":"handshake","payload":"x"}',
        b'{"type":"handshake","payload":{"version":"1.0","identity":{"publicKey":"AAAA"}}}',
        b'{"type":"ping","payload":null}',
        b'{"id":1e999}',
        b'{"type":"handshake","ts":"yesterday"}',
        b'{"type":"handshake","payload":{"version":"1.0","identity":{"publicKey":"' + b"A" * 43 + b'="}}}',
    ],
    ids=range(10),
)
async def test_a_broken_handshake_ends_tcp_without_an_answer(tmp_path: Path, text: bytes) -> None:
    async with running(tmp_path) as run, raw_client(run.us, FOE) as foe:
        await foe.carrier.send(text, text=True)
        with pytest.raises(Closed):
            await foe.clear()


async def test_refusals_of_policy_are_told(tmp_path: Path) -> None:
    wrong_id = Own(FOE.key, FOE.key.identity("foe", "2026-01-02T03:04:05Z"))
    wrong_id.identity.id = FRIEND.identity.id
    ourselves = Own(US.key, US.identity)
    async with running(tmp_path) as run:
        for claimed in (wrong_id, ourselves):
            async with raw_client(run.us, claimed) as foe:
                answer = await foe.shake()
                assert '"reason":"peer not authorized"' in answer.encode()
                await foe.until_ended()
        async with raw_client(run.us, FOE) as foe:
            asked = Handshake(identity=FOE.identity, challenge=b"x", version="2.0")
            await foe.carrier.send(foe.message("handshake", asked).encode().encode(), text=True)
            answer = await foe.clear()
            assert "incompatible protocol version 2.0, supported: [1.0]" in answer.encode()
            await foe.until_ended()


async def test_a_silent_handshake_ends_after_its_time_and_frees_its_place(tmp_path: Path) -> None:
    async with running(tmp_path, max_connections=2, **QUICK) as run:
        async with raw_client(run.us, FOE) as foe:
            with pytest.raises(Closed, match="503"):
                await dial_carrier(*split_address(run.us.listen_address), timeout_s=5)
            await foe.until_ended()
        async with raw_client(run.us, FOE) as foe:
            await foe.shake()


async def test_a_connection_that_never_asks_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, **QUICK) as run:
        reader, writer = await asyncio.open_connection(*split_address(run.us.listen_address))
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert run.us.counters["lethean.upgrade:late"] == 1


async def test_a_claimed_key_without_the_key_disturbs_nobody(tmp_path: Path) -> None:
    """A dialler proves nothing in the handshake: whoever claims the friend's key may not take the friend's place."""
    pretender = Own(FOE.key, FRIEND.identity)
    async with running(tmp_path) as run, raw_client(run.us, pretender) as foe:
        answer = await foe.shake()
        assert '"accepted":true' in answer.encode()
        kept = run.us.links[FRIEND.identity.id]
        await foe.carrier.send(foe.sealed(foe.message("ping")))
        await run.undisturbed()
        assert run.us.links[FRIEND.identity.id] is kept
        assert not kept.ended


async def test_a_replay_is_refused_also_by_a_node_that_was_started_anew(tmp_path: Path) -> None:
    recorded = b""
    for round in (1, 2):
        made = worker(US, tmp_path / "miners")
        diggers = made._miners
        assert isinstance(diggers, Diggers)
        us = node(US, answering=made, seen=tmp_path / "seen.sqlite")
        async with us, raw_client(us, FRIEND) as friend:
            await friend.shake()
            if round == 1:
                asked = StartMiner(miner_type="tt", profile_id="", config="{}")
                recorded = friend.sealed(friend.message("start_miner", asked))
                await friend.carrier.send(recorded)
                await friend.receive("miner_ack")
                assert len(diggers.started) == 1
            await friend.carrier.send(recorded)
            ping = await friend.send("ping", Ping(sent_at_ms=1))
            assert (await friend.receive()).reply_to == ping.id
            assert len(diggers.started) == (1 if round == 1 else 0)
        made._deployments.close()


async def test_a_message_of_ours_that_comes_back_is_dropped(tmp_path: Path) -> None:
    async with running(tmp_path) as run, raw_client(run.us, FOE) as foe:
        await foe.shake()
        mirrored = foe.message("stop_miner", StopMiner(miner_name="xmrig-1"))
        mirrored.sender = US.identity.id
        await foe.carrier.send(foe.sealed(mirrored))
        await foe.send("ping")
        assert (await foe.receive()).type == "pong"
        diggers = run.worker._miners
        assert isinstance(diggers, Diggers)
        assert diggers.names == ["xmrig-1"]


async def test_answers_to_others_requests_are_not_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as run, raw_client(run.us, FOE) as foe:
        await foe.shake()
        await foe.send("ping")
        await foe.receive("pong")
        link = run.us.links[FOE.identity.id]
        asking = asyncio.create_task(run.us.ask(run.us.links[FRIEND.identity.id], "get_stats", None, 0.3))
        forged = foe.message("stats")
        await eventually(lambda: run.us._correspondence.waiting, "the request to wait")
        for id in list(run.us._correspondence._answers):
            forged.reply_to = id
            await foe.carrier.send(foe.sealed(forged))
        with pytest.raises(TimeoutError):
            await asking
        assert not link.ended


@pytest.mark.parametrize("size", [100_000, 1_000_000])
async def test_floods_of_garbage_cost_their_sender_tokens(tmp_path: Path, size: int) -> None:
    async with running(tmp_path) as run, raw_client(run.us, FOE) as foe:
        await foe.shake()
        garbage = b"SMSG\x02" + os.urandom(size)
        for _ in range(110):
            await foe.carrier.send(garbage)
        (link,) = (each for each in run.us._all if each.peer.id == FOE.identity.id)
        await eventually(lambda: sum(link.intake.dropped.values()) == 110, "all of them to be dropped")
        await run.undisturbed()


async def test_odd_payloads_are_errors_and_nothing_more(tmp_path: Path) -> None:
    raws = ['"x"', "[]", "7", "true", '{"lines":1.5}', '{"minerName":7}', '{"data":"%%%"}', '{"type":null}']
    async with running(tmp_path) as run, raw_client(run.us, FOE) as foe:
        await foe.shake()
        for type in ("ping", "start_miner", "stop_miner", "get_logs", "deploy"):
            for raw in raws:
                message = Envelope(f"{type}{raw}", type, FOE.identity.id, US.identity.id, raw=raw)
                await foe.carrier.send(foe.sealed(message))
                answer = await foe.receive()
                assert answer.type in ("error", "pong", "miner_ack", "logs")
                if answer.type == "error":
                    assert answer.payload(ErrorReply).code == 1004


async def test_the_silent_are_pinged_and_ended_and_control_frames_do_not_count(tmp_path: Path) -> None:
    made = worker(US, tmp_path)
    us = node(US, answering=made, ping_interval_s=0.2, pong_timeout_s=0.2)
    async with us, raw_client(us, FOE) as foe:
        await foe.shake()

        async def beat() -> None:
            while not foe.carrier.ended:
                foe.carrier._protocol.send_ping(b"x")
                foe.carrier._flush()
                await asyncio.sleep(0.05)

        beating = asyncio.create_task(beat())
        assert (await foe.receive()).type == "ping"
        await foe.until_ended()
        await beating
    made._deployments.close()


async def test_a_second_connection_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with running(tmp_path) as run, raw_client(run.us, FOE) as first, raw_client(run.us, FOE) as second:
        for each in (first, second):
            await each.shake()
            await each.send("ping")
            assert (await each.receive()).type == "pong"
        await first.until_ended()
        await second.send("ping", Ping(sent_at_ms=4))
        assert (await second.receive("pong")).payload(Pong).sent_at_ms == 4


async def test_messages_too_long_to_send_are_refused_here(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        link = run.friend.links[US.identity.id]
        with pytest.raises(LimitError):
            await run.friend.ask(
                link, "deploy", Deploy(type="miner", name="x", data=bytes(900_000), checksum="")
            )


async def test_who_never_shows_its_key_is_ended_whatever_it_sends(tmp_path: Path) -> None:
    made = worker(US, tmp_path)
    us = node(US, answering=made, ping_interval_s=0.3, pong_timeout_s=0.1)
    pretender = Own(FOE.key, FRIEND.identity)
    async with us, raw_client(us, pretender) as foe:
        await foe.shake()

        async def babble() -> None:
            with contextlib.suppress(Closed):
                while True:
                    await foe.carrier.send(b"not a message")
                    await asyncio.sleep(0.05)

        babbling = asyncio.create_task(babble())
        await foe.until_ended()
        await babbling
        assert us.links == {}
    made._deployments.close()


async def test_a_hundred_connections_cost_little(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    made = worker(US, tmp_path)
    async with node(US, answering=made) as us, contextlib.AsyncExitStack() as stack:
        before = resident()
        for number in range(100):
            client = await stack.enter_async_context(raw_client(us, own(100 + number)))
            await client.shake()
            await client.send("ping")
            await client.receive("pong")
        assert len(us.links) == 100
        assert resident() - before < 30_000_000
        with pytest.raises(Closed, match="503"):
            await dial_carrier(*split_address(us.listen_address), timeout_s=5)
    made._deployments.close()
