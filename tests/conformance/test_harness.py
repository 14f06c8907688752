"""The harness itself: choice of cases, verdicts, reports, baselines, and what it says of peers that deviate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest

from mesh.codecs.multistream import encode_token
from mesh.conformance import baseline
from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.catalogue import cases, sections, select, title_of
from mesh.conformance.reports import document, junit, page, words
from mesh.conformance.runner import Report, run_case
from mesh.conformance.target import Target
from mesh.conformance.verdict import Deviation, Level, Skipped, Verdict
from mesh.errors import ConfigError, TargetLost, UsageError
from mesh.protocols.multistream import HEADER
from tests.conformance.runs import conform, node_under_test, told

PEER = "12D3KooWRL7ACmoLiv5hHXRDKEdR6AKBncvqixeJ2geRr72dNYJt"


def test_a_prefix_names_a_suite_a_section_or_a_case() -> None:
    assert {each.suite for each in select(["multistream"])} == {"multistream"}
    assert [each.id for each in select(["multistream/2.1"])] == ["multistream/2.1"]
    assert {each.section for each in select(["multistream/2", "multistream/3"])} == {
        "multistream/2",
        "multistream/3",
    }
    with pytest.raises(UsageError, match="multi"):
        select(["multi"])


def test_every_case_says_what_it_is() -> None:
    names = [each.id for each in cases()]
    assert len(set(names)) == len(names)
    for each in cases():
        assert each.title, each.id
        assert each.requirement, each.id
        assert each.source, each.id
        assert 0 < each.limit_s <= 200, each.id
        assert title_of(each.section), each.id
    places = [(each.id, each.mirrored) for each in sections()]
    assert len(set(places)) == len(places)


def test_a_target_must_be_named_with_its_id() -> None:
    with pytest.raises(UsageError, match="p2p"):
        Target.parse("/ip4/127.0.0.1/tcp/4001")
    with pytest.raises(UsageError, match="TCP"):
        Target.parse(f"/ip4/127.0.0.1/tcp/4001/ws/p2p/{PEER}")


class Silent(asyncio.Protocol):
    """A peer that accepts connections and says nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


class Echo(Silent):
    """A peer that echoes every byte, as if it agreed with all of them."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@asynccontextmanager
async def listening(peer: type[Silent]) -> AsyncIterator[Target]:
    """A target on TCP that is no node at all."""
    server = await asyncio.get_running_loop().create_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Target.parse(f"/ip4/127.0.0.1/tcp/{port}/p2p/{PEER}")


@pytest.mark.parametrize(
    ("name", "peer", "verdict"),
    [
        ("multistream/1.2", Echo, Verdict.PASS),
        ("multistream/1.2", Silent, Verdict.FAIL),
        ("multistream/2.3", Echo, Verdict.FAIL),
        ("multistream/2.8", Echo, Verdict.WARN),
        ("multistream/3.4", Echo, Verdict.FAIL),
        ("multistream/1.1", Silent, Verdict.INFO),
    ],
)
async def test_a_peer_that_deviates_gets_the_verdict_of_the_level(
    name: str, peer: type[Silent], verdict: Verdict
) -> None:
    async with listening(peer) as target:
        result = await run_case(select([name])[0], target, Options(seed="test", scale=0.2))
    assert result.verdict is verdict, told([result])


async def test_nobody_there_is_an_error_with_a_status_of_its_own() -> None:
    async with listening(Silent) as target:
        address = str(target.address)
    with pytest.raises(TargetLost) as caught:
        await conform(address, select(["multistream/1.2"]))
    assert caught.value.exit_status == 3


async def test_a_case_leaves_the_same_bytes_behind_under_the_same_seed() -> None:
    logs = []
    for _ in range(2):
        async with listening(Echo) as target:
            result = await run_case(select(["multistream/1.2"])[0], target, Options(seed="once"))
        logs.append([each.data for each in result.wire.entries if each.data])
    assert logs[0] == logs[1]
    assert logs[0][0] == encode_token(HEADER)


def made(level: Level, run: Callable[[Attempt], Awaitable[str | None]]) -> Case:
    return Case("made/1.1", "Made up", "nothing", level, "this test", 1.0, run)


@pytest.mark.parametrize(
    ("level", "raised", "verdict"),
    [
        (Level.MUST, None, Verdict.PASS),
        (Level.MAY, None, Verdict.INFO),
        (Level.MUST, Deviation("no"), Verdict.FAIL),
        (Level.SHOULD, Deviation("no"), Verdict.WARN),
        (Level.MAY, Deviation("no"), Verdict.INFO),
        (Level.MUST, Deviation("no", Level.SHOULD), Verdict.WARN),
        (Level.MUST, Skipped("no"), Verdict.SKIP),
        (Level.MUST, IndexError("no"), Verdict.ERROR),
        (Level.MUST, TimeoutError("no"), Verdict.ERROR),
    ],
)
async def test_how_a_case_ends_is_its_verdict(
    level: Level, raised: Exception | None, verdict: Verdict
) -> None:
    async def run(_attempt: Attempt) -> None:
        if raised is not None:
            raise raised

    async with listening(Silent) as target:
        assert (await run_case(made(level, run), target, Options(seed="test"))).verdict is verdict


@pytest.fixture
async def report() -> Report:
    """A few cases against a node of ours, one of them not tried."""
    async with node_under_test() as node:
        return await conform(str(node.listen_addrs[0]), select(["multistream/2.1", "multistream/2.9"]))


async def test_reports_tell_the_same_run(report: Report) -> None:
    assert [each.verdict for each in report.results] == [Verdict.PASS, Verdict.SKIP]
    assert report.exit_status == 0
    told_as_json = json.loads(json.dumps(document.document(report)))
    assert told_as_json["counts"] == {"pass": 1, "fail": 0, "warn": 0, "info": 0, "skip": 1, "error": 0}
    assert told_as_json["agent_version"].startswith("mesh/")
    assert any("2f6d756c7469" in line for line in told_as_json["results"][0]["wire"])
    root = ElementTree.fromstring(junit.junit(report, {"multistream/2.1": "a.log"}))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("2", "1", "0")
    assert suite.findtext("testcase/system-out") == "a.log"
    html = page.page(report)
    assert "multistream/2.1" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    text = "\n".join(words.lines(report))
    assert "ok   multistream/2.1" in text
    assert "skip multistream/2.9" in text


async def test_a_baseline_turns_a_report_into_a_difference(report: Report, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    baseline.write(kept, report)
    assert baseline.differences(report, baseline.read(kept)) == []
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(document.document(report)))
    assert baseline.read(whole) == baseline.read(kept) | {"multistream/2.9": "skip"}
    assert baseline.differences(report, {"multistream/2.9": "pass"}) == []
    found = baseline.differences(report, {"multistream/2.1": "fail", "multistream/9.9": "pass"})
    assert [(each.id, each.expected, each.found) for each in found] == [("multistream/2.1", "fail", "pass")]
    kept.write_text("[]")
    with pytest.raises(ConfigError):
        baseline.read(kept)
