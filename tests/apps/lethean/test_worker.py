"""What a worker answers: the recorded answers of a Go worker, and what we refuse that it does not."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.deployments import Deployments
from mesh.apps.lethean.permissions import Permissions
from mesh.apps.lethean.worker import MOST_LOG_BYTES, Worker
from mesh.protocols.lethean import bundle
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.messages import DeployAck, ErrorReply, Logs
from tests.apps.lethean.live import ALICE_ID, Diggers, Shelf
from tests.vectors import load

CASES: list[dict[str, Any]] = load("worker", "lethean")  # type: ignore[assignment]
LIVE: dict[str, Any] = load("live", "lethean")
OWN_ID = "f35e5616160a30bf3c6e79fa73c576d4"
PASSWORD: str = next(case["password"] for case in load("messages", "lethean"))  # type: ignore[index]
"""Of the two nodes that were recorded."""
PEER_WORDS = "invalid profile data JSON: "
"""After this a Go node has the words of its own JSON parser."""


class Bench:
    """A worker over a folder."""

    def __init__(self, folder: Path, *, managed: bool = True, grants: tuple[str, ...] = ("*=all",)) -> None:
        self.folder = folder
        self.deployments = Deployments(folder)
        self.miners = Diggers()
        self.profiles = Shelf()
        self.now_ms = 1_795_199_079_062
        self.worker = Worker(
            OWN_ID,
            "bob",
            Permissions(grants),
            self.deployments,
            miners=self.miners if managed else None,
            profiles=self.profiles if managed else None,
            unix_ms=lambda: self.now_ms,
        )

    async def ask(self, type: str, payload: object, peer: str = ALICE_ID) -> Envelope | None:
        request = Envelope("id-1", type, ALICE_ID, OWN_ID, raw=json.dumps(payload))
        answer = await self.worker.answer(request, peer, PASSWORD)
        if answer is None:
            return None
        return request.reply(answer[1], id="id-2", type=answer[0], ts="2026-01-02T03:04:05Z")

    async def deploy(self, made: Any, **changes: Any) -> Envelope:
        payload = {**json.loads(made.encode()), **changes}
        answer = await self.ask("deploy", payload)
        assert answer is not None
        return answer


@pytest.fixture
async def benches(tmp_path: Path) -> AsyncIterator[dict[bool, Bench]]:
    made = {managed: Bench(tmp_path / str(managed), managed=managed) for managed in (True, False)}
    yield made
    for each in made.values():
        each.deployments.close()


async def test_every_recorded_request_is_answered_as_recorded(benches: dict[bool, Bench]) -> None:
    differing = []
    for case in CASES:
        bench = benches[case["managers_configured"]]
        answer = await bench.ask(case["request_type"], case["request_payload"])
        if case["response_type"] is None:
            assert answer is None, case["name"]
            continue
        assert answer is not None
        assert answer.type == case["response_type"], case["name"]
        assert (answer.sender, answer.receiver) == (OWN_ID, ALICE_ID)
        said, recorded = json.loads(answer.encode())["payload"], case["response_payload"]
        for time in ("receivedAt", "uptime"):
            said.pop(time, None), recorded.pop(time, None)
        if PEER_WORDS in str(recorded.get("message")):
            assert said["message"].startswith(recorded["message"].partition(PEER_WORDS)[0] + PEER_WORDS)
            continue
        if said != recorded:
            differing.append((case["managers_configured"], case["name"], said, recorded))
    assert differing == []
    bench = benches[True]
    assert bench.profiles.saved == {
        "p1": '{"id":"p1"}',
        "prof": '{"id":"prof"}',
        "plain": '{"id":"plain"}',
        "xm": '{"id":"withminer"}',
        "xmfull": '{"id":"withminer"}',
    }
    assert {each.relative_to(bench.folder).parts[0] for each in bench.folder.rglob("*")} == {"xm", "xmfull"}


async def test_unknown_miners_and_failing_starts(benches: dict[bool, Bench]) -> None:
    answer = await benches[True].ask("get_logs", {"minerName": "zz", "lines": 2})
    assert answer is not None
    assert answer.payload(ErrorReply).message == "Worker.handleGetLogs: miner not found: zz"
    answer = await benches[True].ask("start_miner", {"minerType": "fail", "config": None})
    assert answer is not None
    assert answer.raw == '{"success":false,"error":"cannot start"}'


@pytest.mark.parametrize("type", ["ping", "get_stats", "get_logs", "start_miner", "stop_miner", "deploy"])
async def test_what_a_peer_may_not_ask_is_1002(tmp_path: Path, type: str) -> None:
    bench = Bench(tmp_path, grants=(f"{OWN_ID}=all",))
    answer = await bench.ask(type, {})
    assert answer is not None
    assert answer.payload(ErrorReply).code == 1002
    assert answer.payload(ErrorReply).message == f"not authorized: {type}"
    assert bench.miners.started == []
    assert await bench.ask("nonsense", {}) is None
    bench.deployments.close()


async def test_deployed_files_lie_in_their_folder_and_are_not_executable(benches: dict[bool, Bench]) -> None:
    bench = benches[True]
    made = bundle.make_miner(
        "rig", {"bin/xmrig": b"\x7fELF", "README": b"r"}, '{"id":"x"}', PASSWORD, os.urandom(48), 0
    )
    assert (await bench.deploy(made)).payload(DeployAck).success
    program = bench.folder / "rig" / "bin" / "xmrig"
    assert program.read_bytes() == b"\x7fELF"
    assert stat.S_IMODE(program.stat().st_mode) == 0o600
    assert bench.profiles.saved["rig"] == '{"id":"x"}'
    again = bundle.make_miner("rig", {"other": b"2"}, None, PASSWORD, os.urandom(48), 0)
    assert (await bench.deploy(again)).payload(DeployAck).success
    assert [each.name for each in bench.folder.iterdir()] == ["rig"]
    assert [each.name for each in (bench.folder / "rig").iterdir()] == ["other"]
    assert bench.profiles.saved["rig"] == '{"id":"x"}'


async def test_with_the_grant_they_are_executable(tmp_path: Path) -> None:
    bench = Bench(tmp_path, grants=(f"{ALICE_ID}=deploy+execute",))
    made = bundle.make_miner("rig", {"xmrig": b"\x7fELF"}, None, PASSWORD, os.urandom(48), 0)
    assert (await bench.deploy(made)).payload(DeployAck).success
    assert stat.S_IMODE((tmp_path / "rig" / "xmrig").stat().st_mode) == 0o700
    bench.deployments.close()


@pytest.mark.parametrize(
    "name",
    [*(case["name"] for case in LIVE["deploy_name"]), "..", ".", "a/b", "/tmp/x", "a\\b", "x" * 65, "a\n"],
)
async def test_a_name_that_is_no_folder_of_its_own_is_refused(benches: dict[bool, Bench], name: str) -> None:
    bench = benches[True]
    made = bundle.make_miner("rig", {"xmrig": b"1"}, None, PASSWORD, os.urandom(48), 0)
    for type in ("miner", "full", "profile"):
        answer = await bench.deploy(made, name=name, type=type)
        assert answer.payload(ErrorReply).code == 1004
        assert "invalid bundle name" in answer.payload(ErrorReply).message
    assert not bench.folder.exists()


@pytest.mark.parametrize("path", ["../escaped", "/../x", "a/../../x", "//x"])
async def test_a_file_that_leads_out_refuses_the_bundle(benches: dict[bool, Bench], path: str) -> None:
    from mesh.protocols.lethean import stim, tarball

    rootfs = tarball.write_tar([tarball.Entry("first", b"1"), tarball.Entry(path, b"2")], 0)
    data = stim.seal_stim(PASSWORD, b"{}", rootfs, os.urandom(48))
    payload = {
        "type": "miner",
        "name": "rig",
        "data": base64.b64encode(data).decode(),
        "checksum": bundle.checksum(data),
    }
    bench = benches[True]
    answer = await bench.ask("deploy", payload)
    assert answer is not None
    assert "invalid tar entry" in answer.payload(ErrorReply).message
    assert not (bench.folder / "rig").exists()
    assert not (bench.folder.parent / "escaped").exists()


async def test_a_bundle_for_another_password_or_none_is_refused(benches: dict[bool, Bench]) -> None:
    made = bundle.make_profile("prof", '{"id":"p"}', "another", os.urandom(48))
    answer = await benches[True].deploy(made)
    assert "decryption failed" in answer.payload(ErrorReply).message
    answer = await benches[True].deploy(made, data="////", checksum=bundle.checksum(b"\xff\xff\xff"))
    assert answer.payload(ErrorReply).code == 1004


async def test_logs_that_do_not_fit_are_cut_at_their_beginning(benches: dict[bool, Bench]) -> None:
    bench = benches[True]
    lines = [f'{number} "quoted" \x1b[0m é' * 40 for number in range(5000)]
    bench.miners.log = lambda name, wanted, since: lines[-wanted:]  # type: ignore[method-assign,assignment]
    answer = await bench.ask("get_logs", {"minerName": "xmrig-1", "lines": 5000})
    assert answer is not None
    logs = answer.payload(Logs)
    assert logs.lines
    assert logs.lines[-1] == lines[-1]
    assert len(logs.lines) < 5000
    assert logs.has_more
    assert len(json.dumps(answer.encode(), ensure_ascii=False).encode()) < MOST_LOG_BYTES + 1000
