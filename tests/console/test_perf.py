"""perf from this side: what is measured, and the harness' lines."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import aclosing
from typing import Any

import pytest

from mesh.console.perf import BarScreen, WordScreen
from mesh.errors import PeerError, StreamReset, UsageError
from mesh.network.stream import Stream
from mesh.services import perf
from tests.console.conftest import Mesh
from tests.network.live import Nodes, eventually

KEYS = ["type", "timeSeconds", "uploadBytes", "downloadBytes"]


class Clock:
    """Stands where it is put."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_report() -> None:
    clock = Clock()
    report = perf.Report(clock)
    report.add(10, 0)
    clock.now += 1
    assert report.intermediary() == {
        "type": "intermediary",
        "timeSeconds": 1.0,
        "uploadBytes": 10,
        "downloadBytes": 0,
    }
    report.add(25, 5)
    clock.now += 2
    assert list(report.intermediary().values()) == ["intermediary", 2.0, 15, 5]
    assert list(report.intermediary().values()) == ["intermediary", 0.0, 0, 0]
    assert report.final() == {"type": "final", "timeSeconds": 3.0, "uploadBytes": 25, "downloadBytes": 5}


@pytest.mark.both_loops
@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1, 0), (0, 1), (2_000_001, 3_000_001)])
async def test_measure(nodes: Nodes, upload: int, download: int) -> None:
    _, _, connection = await nodes.pair(serve=("perf",))
    seen: list[tuple[int, int]] = []
    async with await connection.open([perf.PROTOCOL_ID]) as stream:
        done = await perf.measure(stream, upload, download, lambda up, down: seen.append((up, down)))
    assert (done.upload_bytes, done.download_bytes) == (upload, download)
    assert done.upload_s > 0
    assert seen == sorted(seen)
    assert not seen or seen[-1] == (upload, download)


@pytest.mark.parametrize(("upload", "download"), [(-1, 0), (0, -1), (2**63, 0), (0, 2**63)])
async def test_sizes_that_cannot_be(nodes: Nodes, upload: int, download: int) -> None:
    _, _, connection = await nodes.pair(serve=("perf",))
    async with await connection.open([perf.PROTOCOL_ID]) as stream:
        with pytest.raises(UsageError):
            await perf.measure(stream, upload, download)


@pytest.mark.parametrize("sent", [0, 9, 11, 100_000])
async def test_a_peer_that_sends_something_else(nodes: Nodes, sent: int) -> None:
    async def serve(stream: Stream) -> None:
        await stream.read_exactly(8)
        await perf.send_zeros(stream, sent)

    server, _, connection = await nodes.pair()
    server.handle(perf.PROTOCOL_ID, serve)
    with pytest.raises((PeerError, StreamReset)):
        async with await connection.open([perf.PROTOCOL_ID]) as stream:
            await perf.measure(stream, 0, 10)


async def test_intervals_and_an_early_end(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair(serve=("perf",))
    lines = perf.reported(
        lambda: connection.open([perf.PROTOCOL_ID]), 2**40, 0, perf.Report(), interval_s=0.01
    )
    async with aclosing(lines):
        first = await anext(lines)
        second = await anext(lines)
    assert list(first) == list(second) == KEYS
    assert first["type"] == second["type"] == "intermediary"
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")


async def test_the_verb_and_its_lines(nodes: Nodes) -> None:
    server = await nodes.start(serve=("perf",))
    address = str(server.listen_addrs[0])
    sizes = ["--upload-bytes", "600000000", "--download-bytes", "600000000"]
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "perf", address, *sizes, "--json"), stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert all(list(each) == KEYS for each in found)
    *between, final = found
    assert final["type"] == "final"
    assert (final["uploadBytes"], final["downloadBytes"]) == (600_000_000, 600_000_000)
    assert {each["type"] for each in between} <= {"intermediary"}
    assert sum(each["uploadBytes"] + each["downloadBytes"] for each in between) <= 1_200_000_000


def test_nobody_there(mesh: Mesh) -> None:
    outcome = mesh("perf", "/ip4/127.0.0.1/tcp/1", "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "dial")


@pytest.mark.parametrize("size", ["many", "-1", "1.5"])
def test_a_size_that_is_none(mesh: Mesh, size: str) -> None:
    outcome = mesh("perf", "/ip4/127.0.0.1/tcp/1", f"--upload-bytes={size}")
    assert outcome.status == 2
    assert "--upload-bytes" in outcome.err


def test_screens(capsys: pytest.CaptureFixture[str]) -> None:
    with BarScreen(WordScreen(1000, 0), 1000, 0) as screen:
        screen.show({"type": "intermediary", "timeSeconds": 1.0, "uploadBytes": 500, "downloadBytes": 0})
        screen.show({"type": "transfer", "uploadSeconds": 2.0, "downloadSeconds": 0.0})
        screen.show({"type": "final", "timeSeconds": 2.5, "uploadBytes": 1000, "downloadBytes": 0})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["upload 1000 bytes in 2.000 s, 0.0 Mbit/s", "total 2.500 s, connecting included"]
