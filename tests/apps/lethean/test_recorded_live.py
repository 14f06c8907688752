"""What was seen on running Go nodes (group `live` of the vectors), done to ours: every row of it has its deed here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from mesh.apps.lethean.carrier import MAX_MESSAGE_BYTES, Carrier, dial_carrier
from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.node import LetheanNode
from mesh.errors import Closed, PeerError
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import Disconnect, ErrorReply, GetLogs, Ping, Pong, Stats
from tests.apps.lethean.live import node, own
from tests.apps.lethean.raw_client import RawClient, raw_client, raw_listener
from tests.network.live import eventually
from tests.vectors import load

LIVE = load("live", "lethean")
US, PEER = own(1, "us"), own(2, "peer")
SOON: dict[str, Any] = {"ping_interval_s": 0.2, "pong_timeout_s": 0.2}


class Visit:
    """A peer after its handshake, and every frame that came to it since."""

    def __init__(self, us: LetheanNode, peer: RawClient) -> None:
        self.us = us
        self.peer = peer
        self.frames = frames_of(peer.carrier)

    async def answered(self, message: Envelope) -> Envelope:
        """The next answer, which has to be the pong to this message."""
        pong = await self.peer.receive()
        assert (pong.type, pong.reply_to) == ("pong", message.id)
        return pong

    async def served(self) -> None:
        """A new ping is the next thing that is answered."""
        await self.answered(await self.peer.send("ping", Ping(sent_at_ms=1)))

    def write(self, *frames: Frame) -> None:
        for frame in frames:
            self.peer.carrier._protocol.send_frame(frame)
        self.peer.carrier._flush()


def frames_of(carrier: Carrier) -> list[tuple[int, bytes]]:
    """Opcode and payload of each frame that comes from now on."""
    found: list[tuple[int, bytes]] = []
    take = carrier._take_frame

    def watch(frame: Frame) -> None:
        found.append((int(frame.opcode), bytes(frame.data)))
        take(frame)

    carrier._take_frame = watch  # type: ignore[method-assign]
    return found


@contextlib.asynccontextmanager
async def visiting(**settings: Any) -> AsyncIterator[Visit]:
    async with node(US, **settings) as us, raw_client(us, PEER) as peer:
        await peer.shake()
        yield Visit(us, peer)


# -- after the handshake -------------------------------------------------------------------------------------------------


async def binary(visit: Visit) -> None:
    await visit.served()
    assert [opcode for opcode, _ in visit.frames] == [Opcode.BINARY]


async def text(visit: Visit) -> None:
    ping = visit.peer.message("ping", Ping(sent_at_ms=1))
    await visit.peer.carrier.send(visit.peer.sealed(ping), text=True)
    await visit.answered(ping)


async def twice(visit: Visit) -> None:
    for _ in range(2):
        ping = await visit.peer.send("ping", Ping(sent_at_ms=1), id="the same")
    await visit.answered(ping)
    await visit.served()
    async with raw_client(visit.us, own(3)) as other:
        await other.shake()
        await other.send("ping", Ping(sent_at_ms=1), id="the same")
        await Visit(visit.us, other).served()


async def split(visit: Visit) -> None:
    ping = visit.peer.message("ping", Ping(sent_at_ms=1))
    data = visit.peer.sealed(ping)
    visit.write(
        Frame(Opcode.BINARY, data[:50], fin=False), Frame(Opcode.PING, b"p"), Frame(Opcode.CONT, data[50:])
    )
    await visit.answered(ping)
    assert [opcode for opcode, _ in visit.frames] == [Opcode.PONG, Opcode.BINARY]


async def undecryptable(visit: Visit) -> None:
    await visit.peer.carrier.send(b"no container")
    await visit.served()


async def no_time(visit: Visit) -> None:
    ping = visit.peer.message("ping", Ping(sent_at_ms=1))
    ping.ts = "yesterday"
    await visit.peer.carrier.send(visit.peer.sealed(ping))
    await visit.served()


async def mirrored(visit: Visit) -> None:
    ping = visit.peer.message("ping", Ping(sent_at_ms=1))
    ping.sender, ping.receiver = "someone", "other"
    await visit.peer.carrier.send(visit.peer.sealed(ping))
    pong = await visit.answered(ping)
    assert (pong.sender, pong.receiver) == ("other", "someone")


async def empty_id(visit: Visit) -> None:
    for _ in range(2):
        ping = visit.peer.message("ping", Ping(sent_at_ms=1))
        ping.id = ""
        await visit.peer.carrier.send(visit.peer.sealed(ping))
    await visit.answered(ping)
    await visit.served()


async def second_connection(visit: Visit) -> None:
    await visit.served()
    async with raw_client(visit.us, PEER) as second:
        await second.shake()
        await Visit(visit.us, second).served()
        if visit.us.section.compat:
            await visit.served()
        else:
            await visit.peer.until_ended()


async def longest(visit: Visit) -> None:
    visit.write(Frame(Opcode.BINARY, bytes(MAX_MESSAGE_BYTES)))
    await visit.served()


async def too_long(visit: Visit) -> None:
    visit.write(Frame(Opcode.BINARY, bytes(MAX_MESSAGE_BYTES + 1)))
    await visit.peer.until_ended()
    assert visit.frames == [(Opcode.CLOSE, (1009).to_bytes(2, "big"))]


async def close(visit: Visit) -> None:
    visit.write(Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")))
    await visit.peer.until_ended()
    assert visit.frames == [(Opcode.CLOSE, (1000).to_bytes(2, "big"))]


async def disconnect(visit: Visit) -> None:
    await visit.peer.send("disconnect", Disconnect(reason="bye", code=1000))
    await visit.served()


async def flood(visit: Visit) -> None:
    """Exactly 100 within a second; a machine that is slower than that has let tokens come back."""
    loop = asyncio.get_running_loop()
    pings = [visit.peer.message("ping", Ping(sent_at_ms=1)) for _ in range(150)]
    sealed = [visit.peer.sealed(each) for each in pings]
    begun = loop.time()
    for data in sealed:
        assert visit.peer.carrier.post(data)
    (link,) = visit.us._all
    await eventually(lambda: link.intake.taken + sum(link.intake.dropped.values()) == 150, "all of them")
    assert 100 <= link.intake.taken <= 100 + 50 * int(loop.time() - begun)
    for ping in pings[:100]:
        await visit.answered(ping)
    later: set[str] = set()
    async with asyncio.timeout(10):
        while True:
            later.add((await visit.peer.send("ping", Ping(sent_at_ms=1))).id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while (await visit.peer.receive()).reply_to not in later:
                        pass
                    return


async def reserved(visit: Visit) -> None:
    transport = visit.peer.carrier._transport
    assert transport is not None
    transport.write(bytes.fromhex("838000000000"))
    await visit.peer.until_ended()
    assert visit.frames == [(Opcode.CLOSE, (1002).to_bytes(2, "big") + b"bad opcode 3")]


DEEDS: dict[str, Callable[[Visit], Awaitable[None]]] = {
    "encrypted ping in a binary frame": binary,
    "encrypted ping in a text frame": text,
    "same message id twice": twice,
    "message split over two WebSocket frames with a WebSocket ping between them": split,
    "undecryptable binary frame": undecryptable,
    "valid ciphertext, ts not RFC 3339": no_time,
    "from=someone, to=other": mirrored,
    "empty id, twice": empty_id,
    "second connection with the same identity": second_connection,
    "frame of 1048576 bytes": longest,
    "frame of 1048577 bytes": too_long,
    "WebSocket close 1000": close,
    "disconnect message": disconnect,
    "150 pings sent at once on a fresh connection": flood,
    "reserved opcode 3": reserved,
}


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("row", LIVE["post_handshake"], ids=lambda row: row["do"])
async def test_after_the_handshake(row: dict[str, str], compat: bool) -> None:
    async with visiting(compat=compat) as visit:
        await DEEDS[row["do"]](visit)


# -- keepalive, with a fifth of the recorded times -----------------------------------------------------------------------


async def silent(visit: Visit) -> None:
    assert (await visit.peer.receive()).type == "ping"
    await visit.peer.until_ended()
    assert [opcode for opcode, _ in visit.frames] == [Opcode.BINARY]


async def control_frames_alone(visit: Visit) -> None:
    async def beat() -> None:
        while not visit.peer.carrier.ended:
            visit.write(Frame(Opcode.PING, b""))
            await asyncio.sleep(0.05)

    beating = asyncio.create_task(beat())
    await visit.peer.until_ended()
    await beating
    assert [opcode for opcode, _ in visit.frames if opcode != Opcode.PONG] == [Opcode.BINARY]


async def answering(visit: Visit) -> None:
    for _ in range(4):
        ping = await visit.peer.receive("ping")
        pong = Pong(sent_at_ms=ping.payload(Ping).sent_at_ms, received_at_ms=1)
        answer = visit.peer.message("pong", pong)
        answer.reply_to = ping.id
        await visit.peer.carrier.send(visit.peer.sealed(answer))
    assert not visit.peer.carrier.ended


async def stopping(visit: Visit) -> None:
    await visit.us.stop()
    said = (await visit.peer.receive("disconnect")).payload(Disconnect)
    assert (said.reason, said.code) == ("server shutdown", 1004)
    await visit.peer.until_ended()
    assert {opcode for opcode, _ in visit.frames} == {Opcode.BINARY}


KEEPALIVE = {
    "sends nothing": silent,
    "sends only WebSocket ping frames every 0.5 s": control_frames_alone,
    "answers every encrypted ping": answering,
    "any, Go node gets SIGTERM handled by a stop": stopping,
}


@pytest.mark.parametrize("row", LIVE["keepalive_ping_1s_pong_1s"], ids=lambda row: row["peer"])
async def test_keepalive(row: dict[str, str]) -> None:
    async with visiting(**SOON) as visit:
        await KEEPALIVE[row["peer"]](visit)


# -- limits, fragments, answers ------------------------------------------------------------------------------------------


async def test_limits() -> None:
    assert [row["do"] for row in LIVE["limits"]] == [
        "maxConns=2, two connections up",
        "upgraded connection that never sends a handshake",
    ]
    async with visiting(max_connections=2, handshake_timeout_s=1.0) as visit:
        async with raw_client(visit.us, own(3)) as idle:
            with pytest.raises(Closed, match="503"):
                await dial_carrier(*split_address(visit.us.listen_address), timeout_s=5)
            await idle.until_ended()
        async with raw_client(visit.us, own(3)) as second:
            await second.shake()


async def test_a_dialler_cuts_messages_where_go_does() -> None:
    case = LIVE["go_client_fragments"]
    sizes: list[int] = []

    async def serve(carrier: Carrier) -> None:
        frames = frames_of(carrier)
        await carrier.receive()
        sizes.extend(len(data) for _, data in frames)

    async with raw_listener(serve) as address:
        carrier = await dial_carrier(*split_address(address), timeout_s=5)
        await carrier.send(bytes(case["message_bytes"]))
        await eventually(lambda: sizes, "the message")
        carrier.abort("the test is over")
        await carrier.wait_ended(1.0)
    assert sizes == case["frame_payload_sizes"]


class Scripted:
    """A worker that gives one answer, or none."""

    def __init__(self, answer: tuple[str, JsonRecord] | None) -> None:
        self._answer = answer

    async def answer(self, message: Envelope, peer_id: str, password: str) -> tuple[str, JsonRecord] | None:
        return None if message.type == "ping" else self._answer


SCRIPTS: dict[str, tuple[str, JsonRecord] | None] = {
    "error code 1002 message no rights": ("error", ErrorReply(code=1002, message="no rights")),
    "stats to a get_logs request": ("stats", Stats(node_id="n", node_name="n", miners=[], uptime_s=1)),
    "none": None,
}


@pytest.mark.parametrize("row", LIVE["go_controller_against_other_worker"], ids=lambda row: row["reply"])
async def test_a_controller_says_what_gos_says(row: dict[str, str]) -> None:
    made: Any = Scripted(SCRIPTS[row["reply"]])
    async with node(PEER, answering=made) as worker, node(US, listen="off") as us:
        link = await us.connect(worker.listen_address)
        asked = GetLogs(miner_name="m", lines=1)
        with pytest.raises((PeerError, TimeoutError)) as failed:
            await us.ask(link, "get_logs", asked, 0.3 if row["reply"] == "none" else 10)
        assert row["go_error"].rpartition("ValidateResponse: ")[2].removeprefix(
            "Controller.sendRequest: "
        ) in str(failed.value)
