"""Our Lethean node and one written in Go from the specification alone: each command, both directions, and kill -9."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.errands import make_bundle
from mesh.apps.lethean.service import LetheanService
from mesh.config import LetheanSection
from mesh.errors import DialError, PeerError, TimedOut
from mesh.protocols.lethean.bundle import checksum
from mesh.protocols.lethean.messages import Ping
from tests.apps.lethean.live import Diggers
from tests.network.live import eventually
from tools.interop_peers.building import LETHEAN, PeerMissing, ensure_built
from tools.interop_peers.process import CommandFailed, PeerProcess

pytestmark = pytest.mark.interop
FOREIGN: dict[str, Any] = {"from": "me", "to": "you"}


class GoNode(PeerProcess):
    """`lethean_peer serve` for the length of an `async with`."""

    def __init__(self, *flags: str) -> None:
        super().__init__(str(LETHEAN.binary), "serve", "--timeout", "110s", *flags)

    @property
    def public_key(self) -> str:
        return str(self.events[0]["public_key"])


@pytest.fixture(autouse=True, scope="module")
def _built(_go_program: None) -> None:
    try:
        ensure_built(LETHEAN)
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST THE LETHEAN PEER: {reason}")


def section(*grants: str, **settings: Any) -> LetheanSection:
    """Open to everyone, on a free port."""
    return LetheanSection(
        **{"listen": "127.0.0.1:0", "mode": "open", "grants": grants or ("*=all",), **settings}
    )


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[LetheanService]:
    """Our node, with a list for miners."""
    service = LetheanService(section(), tmp_path / "ours")
    assert service.node.worker is not None
    service.node.worker._miners = Diggers()
    async with service:
        yield service


async def test_a_go_controller_commands_our_worker(ours: LetheanService, tmp_path: Path) -> None:
    async with GoNode() as go:
        assert (await go.call("connect", addr=ours.node.listen_address))["peer"] == ours.own.identity.id
        assert (await go.call("ping"))["payload"]["receivedAt"] > 0
        (miner,) = (await go.call("stats"))["payload"]["miners"]
        assert miner["hashrate"] == 1234.5
        assert (await go.call("start", type="tt", config={"a": "<&>é"}))["miner"] == "tt-2"
        assert (await go.call("logs", name="xmrig-1", lines=2))["payload"]["lines"] == [
            "log line 2",
            "log line 3",
        ]
        assert (await go.call("stop", name="tt-2"))["miner"] == "tt-2"
        with pytest.raises(CommandFailed, match="miner tt-2 not found"):
            await go.call("stop", name="tt-2")
        with pytest.raises(CommandFailed, match=r"remote error \(1004\): .*miner not found: zz"):
            await go.call("logs", name="zz")
        files = {"xmrig": base64.b64encode(os.urandom(100_000)).decode()}
        await go.call("deploy", type="miner", name="rig", config={"id": "p"}, files=files)
        placed = tmp_path / "ours" / "lethean" / "miners" / "rig" / "xmrig"
        assert base64.b64encode(placed.read_bytes()).decode() == files["xmrig"]
        await go.call("deploy", type="profile", name="prof", config={"x": 1}, plain=True)
        assert (await go.call("start", type="tt", profile="prof"))["miner"] == "tt-3"
        with pytest.raises(CommandFailed, match="invalid bundle name"):
            await go.call("deploy", type="miner", name="../../escaped", files=files)


async def test_our_controller_commands_a_go_worker(ours: LetheanService) -> None:
    async with GoNode() as go:
        controller = ours.controller
        link = await controller.link_to(go.address)
        assert link.peer.id == go.peer
        assert await controller.ping(link) > 0
        assert await controller.start(link, "tt", '{"a":"<&>\u00e9"}') == "tt-1"
        assert (await go.event("started"))["config"] == {"a": "<&>\u00e9"}
        assert (await controller.stats(link)).miners[0].cpu_threads == 2  # type: ignore[index]
        logs = await controller.logs(link, "tt-1", 2)
        assert (logs.lines, logs.has_more) == (["tt-1 line 2", "tt-1 line 3"], True)
        assert (await controller.logs(link, "tt-1", 2, since_ms=1)).lines is None
        assert await controller.stop(link, "tt-1") == "tt-1"
        with pytest.raises(PeerError, match="miner tt-1 not found"):
            await controller.stop(link, "tt-1")
        with pytest.raises(PeerError, match="profile not found: nope") as failed:
            await controller.start(link, "tt", profile="nope")
        assert failed.value.wire_code == 1004
        data = os.urandom(700_000)
        asked = {"name": "rig", "files": {"a/xmrig": base64.b64encode(data).decode()}, "profile": {"id": "q"}}
        await controller.deploy(link, make_bundle(asked, link.session.password))
        told = await go.event("deployed")
        assert told["files"] == {"a/xmrig": checksum(data)}
        assert told["config"] == '{"id":"q"}'
        assert (await go.call("ping"))["payload"]["receivedAt"] > 0
        assert (await go.call("peers"))["undecodable"] == 0
        assert ours.registry.get(go.peer).score > 50  # type: ignore[union-attr]


async def test_grants_and_allowlist_hold_for_go_as_well(tmp_path: Path) -> None:
    async with GoNode() as go, GoNode() as stranger:
        settings = section("*=ping", mode="allowlist", allow=(go.public_key,))
        async with LetheanService(settings, tmp_path) as ours:
            with pytest.raises(CommandFailed, match="handshake rejected: peer not authorized"):
                await stranger.call("connect", addr=ours.node.listen_address)
            await go.call("connect", addr=ours.node.listen_address)
            await go.call("ping")
            with pytest.raises(CommandFailed, match=r"remote error \(1002\): not authorized: start_miner"):
                await go.call("start", type="tt", config={})


async def test_a_go_listener_refuses_us(ours: LetheanService) -> None:
    async with GoNode() as other, GoNode("--allow", "another") as go:
        with pytest.raises(DialError, match="handshake rejected: peer not authorized"):
            await ours.controller.link_to(go.address)
        with pytest.raises(DialError, match="dialled"):
            await ours.controller.link_to(f"{ours.own.identity.id[::-1]}@{other.address}")


async def test_oddities_of_go_peers(ours: LetheanService) -> None:
    async with GoNode() as go:
        await go.call("connect", addr=ours.node.listen_address)
        await go.call("raw", data=base64.b64encode(b"no container at all").decode())
        await go.call("raw", data=base64.b64encode(b"nor this").decode(), text=True)
        answer = await go.call("send", type="ping", payload={"sentAt": 7}, **FOREIGN)
        assert (answer["answer"]["from"], answer["answer"]["to"]) == ("you", "me")
        await go.call("send", type="ping", message="", no_answer=True)
        await go.call("send", type="nonsense", no_answer=True)
        again = await go.call("send", type="ping", message="twice", payload=None)
        assert again["answer"]["payload"]["sentAt"] == 0
        with pytest.raises(CommandFailed, match="request timeout"):
            await go.call("send", type="ping", message="twice", within_s=0.2)
        await go.call("ping")


async def test_a_flood_is_answered_a_hundred_times(ours: LetheanService) -> None:
    async with GoNode() as go:
        await go.call("connect", addr=ours.node.listen_address)
        await go.call("send", type="ping", count=150, no_answer=True)
        link = next(iter(ours.node._all))
        await eventually(lambda: sum(link.intake.dropped.values()) + link.intake.taken >= 150, "all of them")
        assert link.intake.taken == 100


async def test_a_go_peer_that_never_answers_costs_a_timeout(ours: LetheanService) -> None:
    async with GoNode("--silent") as go:
        link = await ours.controller.link_to(go.address)
        with pytest.raises(TimedOut, match="request timeout"):
            await ours.node.ask(link, "ping", Ping(sent_at_ms=1), 0.1)
        assert ours.registry.get(go.peer).score == 47  # type: ignore[union-attr]
        assert not link.ended


async def test_keepalive_between_both(tmp_path: Path) -> None:
    settings = section(ping_interval_s=0.2, pong_timeout_s=0.2)
    async with (
        GoNode("--ping", "200ms", "--pong", "200ms") as go,
        LetheanService(settings, tmp_path) as ours,
    ):
        link = await ours.controller.link_to(go.address)
        for _ in range(5):
            after = len(go.events)
            await go.event("message", lambda each: each["type"] == "ping", after=after)
        assert not link.ended


async def test_a_killed_go_worker_is_noticed_at_once(tmp_path: Path) -> None:
    async with GoNode() as go:
        address = go.address
        async with LetheanService(section(peers=(f"{go.peer}@{address}",)), tmp_path) as ours:
            await eventually(lambda: go.peer in ours.node.links, "the first connection")
            await go.kill()
            await eventually(lambda: not ours.node.links, "its end")
            with pytest.raises(DialError):
                await ours.controller.on("best", ours.controller.stats)


async def test_our_goodbye_reaches_a_go_peer(tmp_path: Path) -> None:
    async with GoNode() as go:
        async with LetheanService(section(), tmp_path) as ours:
            await go.call("connect", addr=ours.node.listen_address)
            await go.call("ping")
        said = await go.event("message", lambda each: each["type"] == "disconnect")
        assert said["payload"] == {"reason": "server shutdown", "code": 1004}
        await go.event("disconnected")
