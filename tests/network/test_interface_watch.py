"""Another network is noticed: where the kernel tells, and where only looking helps."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from mesh.network import interface_watch
from mesh.network.interface_watch import Addresses, InterfaceWatch
from tests.network.live import eventually
from tests.services.virtual_time import ended
from tools.interop_peers.isolation import IsolationImpossible, add_address, isolated


async def changes_noticed(monkeypatch: pytest.MonkeyPatch, answers: list[Addresses]) -> int:
    """How often a watch that finds ``answers`` in turn tells, until it has come to the last."""
    left, told = list(answers), 0
    monkeypatch.setattr(
        interface_watch, "current_addresses", lambda: left.pop(0) if len(left) > 1 else left[0]
    )
    monkeypatch.setattr(interface_watch, "LOOK_S", 0.001)
    monkeypatch.setattr(interface_watch, "_kernel_messages", lambda: None)
    watch = InterfaceWatch()

    def tell() -> None:
        nonlocal told
        told += 1

    watch.observers.append(tell)
    task = asyncio.create_task(watch.run())
    await eventually(lambda: len(left) == 1, "all looks")
    await eventually(lambda: watch.changes == told, "the last one")
    await ended(task)
    return told


async def test_looking_finds_changes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = frozenset({("lo", "127.0.0.1")}), frozenset({("lo", "127.0.0.1"), ("eth0", "192.0.2.1")})
    assert await changes_noticed(monkeypatch, [one, one, one, two, two, one, one]) == 2


async def test_without_messages_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "AF_NETLINK", 12345, raising=False)
    assert interface_watch._kernel_messages() is None
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert interface_watch._kernel_messages() is None


@pytest.fixture
def isolation() -> Iterator[None]:
    try:
        with isolated():
            yield
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_the_kernel_tells(isolation: None) -> None:
    watch, told = InterfaceWatch(), asyncio.Event()
    watch.observers.append(told.set)
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    add_address("lo:7", "198.51.100.7")
    assert socket.if_nameindex()
    async with asyncio.timeout(10):  # far less than it takes to look again
        await told.wait()
    assert ("lo", "198.51.100.7") in {
        (name.partition(":")[0], each) for name, each in interface_watch.current_addresses()
    }
    await ended(task)
