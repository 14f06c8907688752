"""Nodes as the settings make them: files, TLS, one connection a peer, reconnecting, the next best worker."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.apps.lethean.controller import BEST
from mesh.apps.lethean.errands import run_errand
from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.keeper import Keeper
from mesh.apps.lethean.profiles import ProfileFolder
from mesh.apps.lethean.service import LetheanService
from mesh.config import LetheanSection
from mesh.errors import (
    AddressInUse,
    ConfigError,
    DialError,
    LimitError,
    MeshError,
    PeerError,
    StorageError,
    UsageError,
)
from tests.apps.lethean.live import node, own
from tests.network.certificates import make_certificates
from tests.network.live import eventually


def section(**settings: Any) -> LetheanSection:
    return LetheanSection(**{"listen": "127.0.0.1:0", "mode": "open", "grants": ("*=all",), **settings})


async def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    async with LetheanService(section(), tmp_path / "worker") as worker:
        async with LetheanService(section(listen="off"), tmp_path / "boss") as boss:
            await boss.controller.link_to(worker.node.listen_address)
            boss.allow(worker.own.identity.public_key)
        address, id = worker.node.listen_address, worker.own.identity.id
        async with LetheanService(section(listen="off"), tmp_path / "boss") as boss:
            assert boss.registry.get(id).address == address  # type: ignore[union-attr]
            assert worker.own.identity.public_key in boss.registry.allowlist
            assert (await boss.controller.link_to(id)).peer.id == id
    async with LetheanService(section(), tmp_path / "worker") as again:
        assert again.own.identity.id == id
    stored = json.loads((tmp_path / "boss" / "lethean" / "peers.json").read_text())
    assert [each["id"] for each in stored] == [id]
    assert (tmp_path / "boss" / "lethean" / "private.key").stat().st_mode & 0o777 == 0o600


async def test_two_nodes_on_one_folder_are_refused(tmp_path: Path) -> None:
    async with LetheanService(section(), tmp_path):
        with pytest.raises(StorageError, match="another program"):
            LetheanService(section(), tmp_path)


async def test_an_address_in_use_is_told(tmp_path: Path) -> None:
    async with LetheanService(section(), None) as first:
        second = LetheanService(section(listen=first.node.listen_address), None)
        with pytest.raises(AddressInUse, match=r"lethean\.listen"):
            await second.start()
        await second.stop()


async def test_tls_with_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    served = section(tls_certificate=made.certificate, tls_key=made.key)
    async with LetheanService(served, None) as worker:
        address = worker.node.listen_address
        trusting = section(listen="off", dial_tls=True, tls_trust=made.authority)
        async with LetheanService(trusting, None) as boss:
            link = await boss.controller.link_to(address)
            assert (await boss.controller.stats(link)).node_id == worker.own.identity.id
        for stranger in (section(listen="off", dial_tls=True), section(listen="off")):
            async with LetheanService(stranger, None) as boss:
                with pytest.raises(DialError):
                    await boss.controller.link_to(address)
    with pytest.raises(ConfigError, match="tls_key is not set"):
        LetheanService(section(tls_certificate=made.certificate), None)


@pytest.mark.parametrize(
    ("version", "ciphers", "chosen"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384", None),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:DHE-RSA-AES128-GCM-SHA256", None),
        (ssl.TLSVersion.TLSv1_3, "ALL", "TLS_AES_256_GCM_SHA384"),
    ],
)
async def test_tls_has_the_ciphers_of_a_go_listener(
    tmp_path: Path, version: ssl.TLSVersion, ciphers: str, chosen: str | None
) -> None:
    made = make_certificates(tmp_path)
    client = ssl.create_default_context(cafile=str(made.authority))
    client.minimum_version = client.maximum_version = version
    client.set_ciphers(ciphers)
    async with LetheanService(section(tls_certificate=made.certificate, tls_key=made.key), None) as worker:
        host, port = split_address(worker.node.listen_address)
        if chosen is None:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(host, port, ssl=client)
            return
        _, writer = await asyncio.open_connection(host, port, ssl=client)
        cipher = writer.get_extra_info("cipher")
        assert cipher[0] == chosen
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("seed", range(10, 20, 2))
async def test_of_two_connections_that_cross_one_is_kept(seed: int) -> None:
    async with node(own(seed)) as one, node(own(seed + 1)) as two:
        await asyncio.gather(
            one.connect(two.listen_address), two.connect(one.listen_address), return_exceptions=True
        )
        ended = "lethean.link:ended"
        await eventually(lambda: one.counters[ended] and two.counters[ended], "one of them to end")
        assert one.connections == two.connections == 1
        ours, theirs = one.links[two.own.identity.id], two.links[one.own.identity.id]
        assert ours.dialled is not theirs.dialled
        assert await one.measure(ours) > 0


async def test_connections_are_limited_both_ways_together() -> None:
    async with node(own(1), max_connections=2) as us, node(own(2)) as first:
        await us.connect(first.listen_address)
        async with node(own(3), listen="off") as second, node(own(4), listen="off") as third:
            await second.connect(us.listen_address)
            with pytest.raises(DialError, match="503"):
                await third.connect(us.listen_address)
        assert us.counters["lethean.upgrade:full"] == 1


async def test_the_next_best_worker_does_what_the_best_cannot(tmp_path: Path) -> None:
    async with LetheanService(section(), None) as near, LetheanService(section(listen="off"), None) as boss:
        async with LetheanService(section(), None) as best:
            for each in (near, best):
                link = await boss.controller.link_to(each.node.listen_address)
                await boss.controller.ping(link)
            boss.registry.update_score(near.own.identity.id, 1, 0.0)
            boss.registry.update_score(best.own.identity.id, 100, 0.0)
            assert (await run_errand(boss.controller, "stats", {}))["peer"] == best.own.identity.id
            with pytest.raises(PeerError, match="no miner type nope"):
                await run_errand(boss.controller, "start", {"type": "nope", "config": {}})
        await eventually(lambda: len(boss.node.links) == 1, "the best to be gone")
        boss.registry.update_score(best.own.identity.id, 100, 0.0)
        done = await run_errand(boss.controller, "stats", {"target": BEST})
        assert done["peer"] == near.own.identity.id
        assert list(done["passed_over"]) == [best.own.identity.id]
    async with LetheanService(section(listen="off"), None) as alone:
        with pytest.raises(DialError, match="no worker is known"):
            await run_errand(alone.controller, "stats", {})
        with pytest.raises(UsageError, match="is none of"):
            await run_errand(alone.controller, "fly", {})


async def test_a_peer_that_went_is_dialled_again_until_it_is_there() -> None:
    them = own(2)
    async with node(own(1), listen="off") as us:
        async with node(them) as first:
            address = first.listen_address
            keeper = Keeper(us, [f"{them.identity.id}@{address}"], first_pause_s=0.01)
            keeper.start()
            await eventually(lambda: us.links, "the first connection")
        await eventually(lambda: not us.links, "its end")
        await eventually(lambda: us.counters["lethean.dial:failed"] > 1, "attempts in vain")
        async with node(them, listen=address):
            await eventually(lambda: us.links, "the second connection")


async def test_another_peer_at_a_kept_address_is_no_peer() -> None:
    async with node(own(1), listen="off") as us, node(own(2)) as impostor:
        with pytest.raises(DialError, match="dialled"):
            await us.connect(impostor.listen_address, own(3).identity.id)
        with pytest.raises(DialError):
            await us.connect("127.0.0.1:1")
        with pytest.raises(UsageError):
            await us.reach(own(4).identity.id)


async def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    async with (
        LetheanService(section(max_profiles=1), tmp_path) as worker,
        LetheanService(section(listen="off", max_requests=1), None) as boss,
    ):
        link = await boss.controller.link_to(worker.node.listen_address)
        await eventually(lambda: boss.registry.get(link.peer.id).ping_ms, "the greeting")  # type: ignore[union-attr]
        at = {"target": link.peer.id, "type": "profile", "profile": {}}
        await run_errand(boss.controller, "deploy", {**at, "name": "first"})
        await run_errand(boss.controller, "deploy", {**at, "name": "first"})
        with pytest.raises(PeerError, match=r"limited to 1 \(raise lethean\.max_profiles\)"):
            await run_errand(boss.controller, "deploy", {**at, "name": "second"})
        both = await asyncio.gather(*(boss.controller.stats(link) for _ in range(2)), return_exceptions=True)
        [refused] = [each for each in both if isinstance(each, BaseException)]
        assert isinstance(refused, LimitError)
        assert refused.key == "lethean.max_requests"


def test_every_setting_that_an_error_names_is_there() -> None:
    named: set[str] = set()
    for floor in ("apps", "protocols"):
        for path in (Path(mesh.__file__).parent / floor / "lethean").glob("*.py"):
            limits = re.findall(r"LimitError\(([^)]*)\)", path.read_text())
            named |= {key for limit in limits for key in re.findall(r'"lethean\.(\w+)"', limit)}
    assert {"max_requests", "max_profiles"} <= named <= {each.name for each in fields(LetheanSection)}


def test_profiles_are_found_by_name_and_by_id(tmp_path: Path) -> None:
    shelf = ProfileFolder(tmp_path / "profiles")
    assert shelf.get("p1") is None
    shelf.save("p1", '{"id":"other","a":1}')
    assert shelf.get("p1") == shelf.get("other") == '{"id":"other","a":1}'
    for name in ("..", "a/b", "", "../p1"):
        assert shelf.get(name) is None
        with pytest.raises(MeshError):
            shelf.save(name, "{}")
