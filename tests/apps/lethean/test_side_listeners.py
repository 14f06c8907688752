"""UEPS packets and Levin peers at ports of their own, when the settings open them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.levin_peer import dial_levin
from mesh.apps.lethean.overview import own_state
from mesh.apps.lethean.packets import PacketSender
from mesh.apps.lethean.service import LetheanService
from mesh.codecs.ueps import Intent
from mesh.config import LetheanSection
from mesh.errors import AddressInUse, ConfigError, DialError
from mesh.protocols.lethean.levin import Answered, LevinNode, Ponged
from mesh.protocols.lethean.ueps import Packet
from tests.network.live import eventually

NETWORK = bytes(range(16))
SECRET = b"a secret of the packets"


def section(folder: Path, **settings: Any) -> LetheanSection:
    """Packets and Levin on free ports, unless the settings say otherwise."""
    path = folder / "ueps.secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(SECRET)
    opened = {"ueps_listen": "127.0.0.1:0", "ueps_secret": path, "levin_listen": "127.0.0.1:0"}
    return LetheanSection(**{**opened, "levin_network": NETWORK.hex(), **settings})


def levin_node(network: bytes = NETWORK) -> LevinNode:
    return LevinNode(7, network, 0, 42, bytes(32), 1_800_000_000)


async def test_nothing_listens_by_default() -> None:
    async with LetheanService(LetheanSection(), None) as service:
        state = own_state(service)
        assert (state["listening"], state["ueps"], state["levin"]) == ("", "", "")


async def test_packets_over_tcp_and_from_nodes_go_to_the_same_handlers(tmp_path: Path) -> None:
    taken: list[Packet] = []

    async def take(packet: Packet) -> None:
        taken.append(packet)

    here = section(tmp_path, listen="127.0.0.1:0", mode="open")
    async with LetheanService(here, None) as us, LetheanService(LetheanSection(), None) as them:
        us.handlers.register(Intent.COMPUTE, take)
        async with PacketSender(*split_address(us.side.ueps_address), SECRET) as sender:
            await sender.send(Intent.REHAB, b"nobody takes this one")
            await sender.send(Intent.COMPUTE, b"threatening", threat_score=50_001)
            await sender.send(Intent.COMPUTE, b"over TCP")
            await eventually(lambda: taken, "the first packet")
        await them.packets.send(
            await them.controller.link_to(us.node.listen_address), Intent.COMPUTE, b"inside"
        )
        await eventually(lambda: len(taken) == 2, "the second packet")
        assert [each.payload for each in taken] == [b"over TCP", b"inside"]
        assert us.node.counters["lethean.ueps:dropped"] == 2
        assert us.node.counters["lethean.ueps:dispatched"] == 2


async def test_another_secret_ends_its_connection_alone(tmp_path: Path) -> None:
    async with LetheanService(section(tmp_path), None) as us:
        address = split_address(us.side.ueps_address)
        async with PacketSender(*address, SECRET) as friend:
            async with PacketSender(*address, b"another secret") as foe:
                await foe.send(Intent.COMPUTE, b"x")
                await eventually(lambda: us.node.counters["lethean.ueps:refused"], "the refusal")
            await friend.send(Intent.COMPUTE, b"x")
            await eventually(lambda: us.node.counters["lethean.ueps:dropped"], "the friend's packet")


async def test_a_levin_peer_gets_handshake_and_ping_and_a_refusal_of_the_rest(tmp_path: Path) -> None:
    async with LetheanService(section(tmp_path), None) as us:
        host, port = split_address(us.side.levin_address)
        async with await dial_levin(host, port, levin_node()) as peer, asyncio.timeout(10):
            they = await peer.connected
            assert (they.network_id, they.port) == (NETWORK, port)
            assert they.unix_s > 1_700_000_000
            peer.ping()
            assert isinstance(await peer.next_event(), Ponged)
            peer.notify(2001, b"a block")
            peer.request(2003, b"which objects")
            assert await peer.next_event() == Answered(2003, -1, b"")
        with pytest.raises(DialError):
            await dial_levin(host, port, levin_node(bytes(16)))
        await eventually(lambda: us.node.counters["lethean.levin:ended"], "the end to be noticed")
        for what in ("connected", "refused", "ignored", "ended"):
            assert us.node.counters[f"lethean.levin:{what}"] == 1


async def test_a_levin_packet_above_the_limit_ends_its_connection(tmp_path: Path) -> None:
    async with LetheanService(section(tmp_path, levin_max_payload_bytes=4096), None) as us:
        host, port = split_address(us.side.levin_address)
        async with await dial_levin(host, port, levin_node()) as peer:
            peer.notify(2001, bytes(4096))
            await eventually(lambda: us.node.counters["lethean.levin:ignored"], "the one that fits")
            peer.notify(2001, bytes(4097))
            await eventually(lambda: us.node.counters["lethean.levin:ended"], "the end")


async def test_an_address_in_use_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with LetheanService(section(tmp_path), None) as first:
        for taken in (
            {"ueps_listen": first.side.ueps_address},
            {"levin_listen": first.side.levin_address},
        ):
            with pytest.raises(AddressInUse):
                async with LetheanService(section(tmp_path, **taken), None):
                    pass


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"levin_network": ""}, "levin_network"),
        ({"ueps_secret": None}, "ueps_secret"),
        ({"ueps_secret": Path("/nowhere/at/all")}, "ueps_secret"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, settings: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=rf"lethean\.{names}"):
        LetheanService(section(tmp_path, **settings), None)


@pytest.mark.parametrize(
    ("content", "mode", "cause"),
    [(SECRET, 0o644, "chmod 600"), (b"short", 0o600, "16 to"), (bytes(5000), 0o600, "16 to")],
)
def test_a_secret_that_is_none(tmp_path: Path, content: bytes, mode: int, cause: str) -> None:
    path = tmp_path / "ueps.secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=cause):
        LetheanService(section(tmp_path), None)
