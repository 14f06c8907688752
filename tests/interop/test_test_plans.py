"""`mesh interop` keeps the contracts of the test plans that libp2p's implementations share: two processes, one Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.console.interop import Part
from mesh.console.meeting_point import meeting_point
from mesh.errors import NetworkError, UsageError
from tools.lab_daemons import REDIS, DaemonMissing, command_of

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

END_S = 60.0
SECURED = [("tcp", "noise"), ("tcp", "tls"), ("ws", "noise"), ("quic-v1", "")]


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def running(*command: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program with nothing left of it at the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[str]:
    """Where a Redis of this test alone listens."""
    try:
        command = command_of(REDIS)
    except DaemonMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED OF THE SHARED TEST PLANS: {reason}")
    port = free_port()
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    async with running(*command, *flags):
        yield f"127.0.0.1:{port}"


def mesh(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "mesh", "interop", *words)


async def dialed(listener: Mapping[str, str], dialer: Mapping[str, str]) -> str:
    """What the dialer prints while the listener listens."""
    async with running(*mesh(), **listener), running(*mesh(), **dialer) as process:
        async with asyncio.timeout(END_S):
            output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.parametrize(("transport", "security"), SECURED)
async def test_the_original_contract(redis: str, transport: str, security: str) -> None:
    both = {"transport": transport, "security": security, "muxer": "yamux" if security else ""}
    both |= {"ip": "127.0.0.1", "redis_addr": redis, "test_timeout_seconds": "50"}
    told = json.loads(await dialed({"is_dialer": "false", **both}, {"is_dialer": "true", **both}))
    assert set(told) == {"handshakePlusOneRTTMillis", "pingRTTMilllis"}
    assert 0 < told["pingRTTMilllis"] < told["handshakePlusOneRTTMillis"] < END_S * 1000


async def test_the_unified_contract(redis: str) -> None:
    both = {"TRANSPORT": "tcp", "SECURE_CHANNEL": "noise", "MUXER": "yamux", "TEST_KEY": "a5b50d5e"}
    both |= {"LISTENER_IP": "127.0.0.1", "REDIS_ADDR": redis, "DEBUG": "false"}
    lines = (await dialed({"IS_DIALER": "false", **both}, {"IS_DIALER": "true", **both})).splitlines()
    assert lines[0].startswith("#")
    assert lines[1] == "latency:"
    assert [each.partition(":")[0].strip() for each in lines[2:]] == [
        "handshake_plus_one_rtt",
        "ping_rtt",
        "unit",
    ]
    assert all(float(each.partition(":")[2]) > 0 for each in lines[2:4])


async def test_the_performance_contract() -> None:
    place = f"127.0.0.1:{free_port()}"
    server = mesh("--run-server", "--server-address", place, "--transport", "tcp")
    client = mesh("--server-address", place, "--upload-bytes", "1000000", "--download-bytes", "2000000")
    async with running(*server) as listening:
        assert listening.stderr is not None
        assert b"listening" in await listening.stderr.readline()
        async with running(*client, "--transport", "tcp") as process, asyncio.timeout(END_S):
            output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    lines: list[dict[str, Any]] = [json.loads(each) for each in output.decode().splitlines()]
    assert {each["type"] for each in lines} <= {"intermediary", "final"}
    assert lines[-1]["type"] == "final"
    assert (lines[-1]["uploadBytes"], lines[-1]["downloadBytes"]) == (1_000_000, 2_000_000)


async def test_the_meeting_point_takes_a_value_or_the_first_of_a_list(redis: str) -> None:
    async with meeting_point(redis) as place:
        with pytest.raises(NetworkError, match="nothing"):
            await place.read("nobody", 0.3)
        await place.put("value", "one")
        await place.push("list", "first")
        await place.push("list", "second")
        assert await place.read("value", 1) == "one"
        assert await place.read("list", 1) == "first"
        assert [await place.pop("list", 1), await place.pop("list", 1)] == ["first", "second"]
        with pytest.raises(NetworkError, match="WRONGTYPE"):
            await place.push("value", "more")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"is_dialer": "true"},
        {"is_dialer": "true", "transport": "webrtc"},
        {"is_dialer": "true", "transport": "tcp", "security": "plaintext"},
        {"is_dialer": "true", "transport": "tcp", "security": "noise", "muxer": "mplex"},
        {"IS_DIALER": "true", "TRANSPORT": "tcp", "SECURE_CHANNEL": "noise", "MUXER": "yamux"},
    ],
)
def test_what_is_not_to_be_had_is_said(variables: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Part.of(variables)
