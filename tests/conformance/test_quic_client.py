"""The harness's own QUIC streams against a target that stops, resets or closes while they are in use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mesh.conformance import services
from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.quic_client import QuicStream
from mesh.conformance.runner import run_case
from mesh.conformance.streams import StreamFlow
from mesh.conformance.target import Target
from mesh.conformance.verdict import Level, Result, Verdict
from mesh.network.quic.driver import QuicDriver
from mesh.network.stream import Stream
from mesh.node import Node
from tests.conformance.runs import node_under_test, told
from tests.network.live import PATIENCE_S, eventually

TAKE = "/test/take/1"
CODE = 0x77
Deed = Callable[[Stream], None]


def stops(stream: Stream) -> None:
    """STOP_SENDING alone: the target goes on sending."""
    driver = stream.connection.driver
    assert isinstance(driver, QuicDriver)
    driver.session._engine.stop(stream.id, CODE)
    driver.flush()


def resets(stream: Stream) -> None:
    """RESET_STREAM alone: the target goes on reading."""
    driver = stream.connection.driver
    assert isinstance(driver, QuicDriver)
    driver.session._engine.reset(stream.id, CODE)
    driver.flush()


def gives_up(stream: Stream) -> None:
    """Both."""
    stream.reset(CODE)


def nothing(_stream: QuicStream) -> None:
    pass


def ends(stream: QuicStream) -> None:
    stream.finish()


def is_reset(stream: QuicStream) -> None:
    stream.reset(CODE)


def has_all_been_told(stream: QuicStream, deed: Deed) -> bool:
    """Whether what the target did has come."""
    return (stream.stopped == CODE or deed is resets) and (stream.ending is not None or deed is stops)


def uses(stream: QuicStream) -> None:
    """Everything a case or a service may do, in an order that has each of them behind each other one."""
    doors: list[Callable[[], None]] = [
        lambda: stream.send(b"more"),
        stream.finish,
        lambda: stream.stop(CODE),
        stream.reset,
    ]
    for door in (*doors, *reversed(doors)):
        door()


async def against(node: Node, run: Callable[[Attempt], Awaitable[str | None]]) -> Result:
    case = Case("made/1.1", "Made up", "nothing", Level.MUST, "this test", PATIENCE_S, run, transport="quic")
    (address,) = [str(each) for each in node.listen_addrs if "quic" in str(each)]
    return await run_case(case, Target.parse(address), Options(seed="test"))


@pytest.mark.parametrize("deed", [stops, resets, gives_up])
@pytest.mark.parametrize("before", [nothing, ends, is_reset])
async def test_a_stream_of_the_harness(deed: Deed, before: Callable[[QuicStream], None]) -> None:
    async with node_under_test() as node:
        taken: asyncio.Queue[Stream] = asyncio.Queue()
        done = asyncio.Event()

        async def take(stream: Stream) -> None:
            taken.put_nowait(stream)
            await done.wait()

        node.handle(TAKE, take)

        async def run(attempt: Attempt) -> None:
            session = await attempt.quic_session()
            stream = await session.open(TAKE)
            await stream.write(b"first")
            before(stream)
            deed(await taken.get())
            if before is nothing:
                await stream.until(
                    lambda: has_all_been_told(stream, deed) or None, "what the target did", beyond_end=True
                )
            uses(stream)
            await session.alive()
            uses(stream)
            done.set()

        result = await against(node, run)
    assert result.verdict is Verdict.PASS, told([result])
    assert "bytes are not sent: " in told([result])


async def test_the_state_says_that_the_target_reads_no_more() -> None:
    async with node_under_test() as node:
        done = asyncio.Event()

        async def take(stream: Stream) -> None:
            stops(stream)
            await done.wait()

        node.handle(TAKE, take)

        async def run(attempt: Attempt) -> str:
            stream = await (await attempt.quic_session()).open(TAKE)
            await stream.until(lambda: stream.stopped, "STOP_SENDING")
            done.set()
            return stream.state

        assert (await against(node, run)).actual == "open, and the target reads no more (0x77)"


async def test_a_stream_of_a_connection_that_is_over() -> None:
    async with node_under_test() as node:

        async def close(stream: Stream) -> None:
            await stream.connection.close()

        node.handle(TAKE, close)

        async def run(attempt: Attempt) -> None:
            session = await attempt.quic_session()
            stream = session.start()
            stream.send(b"\x13/multistream/1.0.0\n" + bytes([len(TAKE) + 1]) + TAKE.encode() + b"\n")
            await session.ended("end of the connection")
            uses(stream)
            uses(session.start())

        result = await against(node, run)
    assert result.verdict is Verdict.PASS, told([result])


@pytest.mark.parametrize("deed", [stops, gives_up])
async def test_a_service_whose_stream_the_target_gives_up(deed: Deed) -> None:
    """What a service says then is lost, and the service ends as it would otherwise."""
    async with node_under_test() as node:
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def serve(stream: StreamFlow) -> None:
            assert isinstance(stream, QuicStream)
            await stream.exactly(1)
            stream.send(b"yes")
            await stream.until(lambda: stream.stopped, "STOP_SENDING", beyond_end=True)
            await services.answering_identify(services.identify_message(node.key, [TAKE]))(stream)
            await services.take_everything(stream)
            served.set_result(None)

        async def run(attempt: Attempt) -> None:
            attempt.serves[TAKE] = serve
            session = await attempt.quic_session()
            await eventually(lambda: node.connections, "the target's end of the connection")
            (here,) = node.connections
            stream = await here.open([TAKE])
            await stream.write(b"?")
            assert await stream.read_exactly(3) == b"yes"
            deed(stream)
            if deed is stops:
                await stream.close_write()
            async with asyncio.timeout(PATIENCE_S):
                await served
            await session.alive()

        result = await against(node, run)
    assert result.verdict is Verdict.PASS, told([result])
