"""A daemon's start and end in this process, with a node that sends the signals itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mesh.config import Config
from mesh.errors import AddressInUse, NetworkError
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from tests.console.conftest import Mesh

Node = Callable[..., object]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class QuietNode:
    """Starts and stops at once."""

    peer_id = "12D3KooWPlayed"

    def __init__(self, config: Config, *, key: PrivateKey) -> None:
        self.config = config
        self.key = key

    @property
    def listen_addrs(self) -> list[Multiaddr]:
        return [Multiaddr.parse(address) for address in self.config.network.listen]

    async def __aenter__(self) -> QuietNode:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class SignalledOnStart(QuietNode):
    async def __aenter__(self) -> QuietNode:
        interrupt()
        await asyncio.sleep(60)
        return self


class SignalledOnceReady(QuietNode):
    async def __aenter__(self) -> QuietNode:
        asyncio.get_running_loop().call_later(0.05, interrupt)
        return self


class HangsOnClose(SignalledOnceReady):
    async def __aexit__(self, *_: object) -> None:
        interrupt()
        await asyncio.sleep(60)


class FailsOnClose(SignalledOnceReady):
    async def __aexit__(self, *_: object) -> None:
        raise NetworkError("the listener broke")


class DefaultPortTaken(SignalledOnceReady):
    async def __aenter__(self) -> QuietNode:
        if "/ip4/127.0.0.1/tcp/4001" in self.config.network.listen:
            raise AddressInUse("/ip4/127.0.0.1/tcp/4001: the address is in use")
        return await super().__aenter__()


@pytest.fixture(autouse=True)
def _without_api(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_API_LISTEN", "off")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Node], None]:
    def put(node: Node) -> None:
        module = ModuleType("mesh.node")
        vars(module)["Node"] = node
        monkeypatch.setitem(sys.modules, "mesh.node", module)

    return put


def test_a_signal_while_starting(mesh: Mesh, play: Callable[[Node], None]) -> None:
    play(SignalledOnStart)
    outcome = mesh("daemon")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_signal_when_ready(mesh: Mesh, play: Callable[[Node], None]) -> None:
    play(SignalledOnceReady)
    outcome = mesh("daemon", "--listen", "/ip4/127.0.0.1/tcp/5", "--listen", "/ip6/::1/tcp/5")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "peer 12D3KooWPlayed",
        "listening /ip4/127.0.0.1/tcp/5",
        "listening /ip6/::1/tcp/5",
        "ready",
    ]


def test_a_second_signal_cuts_the_closing_short(mesh: Mesh, play: Callable[[Node], None]) -> None:
    play(HangsOnClose)
    assert mesh("daemon").status == 130


def test_an_error_while_closing_is_told(mesh: Mesh, play: Callable[[Node], None]) -> None:
    play(FailsOnClose)
    outcome = mesh("daemon")
    assert (outcome.status, outcome.err) == (1, "error: the listener broke\n")


def test_the_default_port_gives_way(mesh: Mesh, play: Callable[[Node], None]) -> None:
    play(DefaultPortTaken)
    outcome = mesh("daemon")
    assert outcome.status == 0
    assert "listening /ip4/127.0.0.1/tcp/0" in outcome.out
    assert outcome.err.startswith(
        "warning: /ip4/127.0.0.1/tcp/4001: the address is in use; using a free port"
    )
    chosen = mesh("daemon", "--listen", "/ip4/127.0.0.1/tcp/4001")
    assert (chosen.status, chosen.out) == (3, "")
