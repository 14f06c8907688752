"""`mesh ping` and `mesh identify`: what they print, against a node that plays its part."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, ClassVar

import pytest

from mesh.config import Config
from mesh.console.probes import percentile
from mesh.errors import Closed, DialError, DialFailure, MeshError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from tests.console.conftest import Mesh

PEER = PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public)
ADDRESS = f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"


@dataclass
class PlayedConnection:
    peer: PeerId = PEER


@dataclass
class PlayedInfo:
    peer: PeerId = PEER
    protocol_version: str = "ipfs/0.1.0"
    agent_version: str = "peer\x1b[2J\nready"
    observed_addr: Multiaddr | None = None
    listen_addrs: tuple[Multiaddr, ...] = (Multiaddr.parse("/ip4/127.0.0.1/tcp/4001"),)
    protocols: tuple[str, ...] = ("/ipfs/ping/1.0.0",)
    signed_record: bool = True


class PlayedNode:
    """A node whose answers the test has written down."""

    round_trips: ClassVar[list[float | None]] = []
    fault: ClassVar[BaseException | None] = None
    dial_fault: ClassVar[MeshError | None] = None
    seen: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: Config | None = None, *, key: PrivateKey | None = None) -> None:
        self.seen.clear()
        self.seen.update(config=config, key=key)

    async def __aenter__(self) -> PlayedNode:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.seen["closed"] = True

    async def connect(self, address: Multiaddr) -> PlayedConnection:
        self.seen["address"] = address
        if self.dial_fault is not None:
            raise self.dial_fault
        return PlayedConnection()

    async def identify(self, peer: PeerId) -> PlayedInfo:
        assert peer == PEER
        return PlayedInfo()

    async def ping(
        self, peer: PeerId, count: int | None = None, interval_s: float = 1.0
    ) -> AsyncIterator[float | None]:
        self.seen.update(count=count, interval_s=interval_s)
        for time_s in self.round_trips:
            yield time_s
        if self.fault is not None:
            raise self.fault


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> type[PlayedNode]:
    module = ModuleType("mesh.node")
    vars(module)["Node"] = PlayedNode
    monkeypatch.setitem(sys.modules, "mesh.node", module)
    monkeypatch.setattr(PlayedNode, "round_trips", [0.0015, None, 0.0005, 0.001])
    monkeypatch.setattr(PlayedNode, "fault", None)
    monkeypatch.setattr(PlayedNode, "dial_fault", None)
    return PlayedNode


def test_ping_as_json(mesh: Mesh) -> None:
    outcome = mesh("ping", ADDRESS, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.lines == [
        {"type": "ping", "seq": 0, "rtt_us": 1500.0},
        {"type": "ping", "seq": 1, "rtt_us": None},
        {"type": "ping", "seq": 2, "rtt_us": 500.0},
        {"type": "ping", "seq": 3, "rtt_us": 1000.0},
        {"type": "summary", "count": 4, "median_us": 1000.0, "p99_us": 1500.0, "lost": 1},
    ]
    assert "rich" not in sys.modules or "rich.console" not in vars(sys.modules["rich"])


def test_ping_in_words(mesh: Mesh) -> None:
    outcome = mesh("ping", ADDRESS)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        f"ping {PEER}",
        "seq=0 time=1.500 ms",
        "seq=1 lost",
        "seq=2 time=0.500 ms",
        "seq=3 time=1.000 ms",
        "4 pings, 1 lost, median 1.000 ms, p99 1.500 ms",
    ]


@pytest.mark.parametrize(
    ("arguments", "count", "interval_s"),
    [
        ((), 4, 1.0),
        (("-c", "7", "--interval-ms", "250"), 7, 0.25),
        (("--interval-ms", "0"), 4, 0.0),
        (("-c", "0"), None, 1.0),
    ],
)
def test_ping_arguments(
    mesh: Mesh, played: type[PlayedNode], arguments: tuple[str, ...], count: int | None, interval_s: float
) -> None:
    assert mesh("ping", ADDRESS, *arguments).status == 0
    assert (played.seen["count"], played.seen["interval_s"]) == (count, interval_s)
    assert str(played.seen["address"]) == ADDRESS


def test_a_probe_keeps_to_itself(
    mesh: Mesh, played: type[PlayedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_NETWORK_LISTEN", "/ip4/127.0.0.1/tcp/9")
    monkeypatch.setenv("MESH_SERVICES_SERVE", "echo")
    monkeypatch.setenv("MESH_KADEMLIA_MODE", "server")
    monkeypatch.setenv("MESH_NETWORK_DIAL_TIMEOUT_S", "3")
    mesh("identify", ADDRESS)
    config = played.seen["config"]
    assert (config.node.path, config.network.listen, config.network.bootstrap) == (None, (), ())
    assert config.services.serve == ()
    assert config.kademlia.mode == "off"
    assert config.network.dial_timeout_s == 3
    assert played.seen["key"] is None
    assert played.seen["closed"]


def test_all_lost(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, played: type[PlayedNode]) -> None:
    monkeypatch.setattr(played, "round_trips", [None, None])
    outcome = mesh("ping", ADDRESS, "--json")
    assert outcome.status == 1
    assert outcome.lines[-1] == {
        "type": "summary",
        "count": 2,
        "median_us": None,
        "p99_us": None,
        "lost": 2,
    }
    assert mesh("ping", ADDRESS).out.splitlines()[-1] == "2 pings, 2 lost"


@pytest.mark.parametrize(
    ("fault", "status"), [(Closed("the peer closed the connection"), 1), (KeyboardInterrupt(), 130)]
)
def test_the_summary_comes_even_then(
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
    played: type[PlayedNode],
    fault: BaseException,
    status: int,
) -> None:
    monkeypatch.setattr(played, "fault", fault)
    outcome = mesh("ping", ADDRESS, "--json")
    assert outcome.status == status
    assert outcome.lines[-1]["count"] == 4
    assert "Traceback" not in outcome.err


def test_a_dial_error_says_what_was_tried(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, played: type[PlayedNode]
) -> None:
    failure = DialFailure(ADDRESS, "connect", "connection refused")
    monkeypatch.setattr(played, "dial_fault", DialError(f"cannot reach {PEER}", [failure]))
    outcome = mesh("identify", ADDRESS, "--json")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.error == {
        "code": "dial",
        "message": f"cannot reach {PEER}",
        "failures": [{"address": ADDRESS, "stage": "connect", "cause": "connection refused"}],
    }
    assert mesh("ping", ADDRESS).err.splitlines() == [
        f"error: cannot reach {PEER}",
        f"  {ADDRESS}: connect: connection refused",
    ]


def test_identify_as_json(mesh: Mesh) -> None:
    outcome = mesh("identify", ADDRESS, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.lines == [
        {
            "peer_id": str(PEER),
            "protocol_version": "ipfs/0.1.0",
            "agent_version": "peer\x1b[2J\nready",
            "observed_addr": None,
            "listen_addrs": ["/ip4/127.0.0.1/tcp/4001"],
            "protocols": ["/ipfs/ping/1.0.0"],
            "signed_record": True,
        }
    ]


def test_identify_in_words(mesh: Mesh) -> None:
    assert mesh("identify", ADDRESS).out.splitlines() == [
        f"peer id: {PEER}",
        "protocol version: ipfs/0.1.0",
        r"agent version: peer\x1b[2J\nready",
        "observed addr: -",
        "listen addrs:",
        "  /ip4/127.0.0.1/tcp/4001",
        "protocols:",
        "  /ipfs/ping/1.0.0",
        "signed record: yes",
    ]


def test_percentiles() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0], 99) == 3.0
    assert percentile([4.0, 1.0, 2.0, 3.0], 50) == 2.5
    assert percentile([float(number) for number in range(1, 201)], 99) == 198.0
