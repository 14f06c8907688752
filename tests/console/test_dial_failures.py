"""A peer known at several addresses, dialled by `mesh swarm connect`: one good address is enough, and when all are bad
each is listed with its stage and cause, on screen and as JSON."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.storage.peerstore import Lifetime, Peerstore
from tests.console.conftest import Mesh
from tests.console.test_swarm import Running, running

STRANGER = PeerId.from_public_key(PrivateKey.from_seed(b"c" * 32).public)
SILENT_S = 0.5
TURNED_AWAY = ("connect", "security negotiation")
"""How far a dialer gets at a full node: the reset may come before the system has reported the connection."""


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon that is not the peer that is looked for."""
    with running(tmp_path_factory.mktemp("somebody") / "home", "--api", "off") as started:
        yield started


@pytest.fixture
def refused() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"/ip4/127.0.0.1/tcp/{bound.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that the system answers and nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"


@pytest.fixture
def bad(refused: str, silent: str, somebody: Running) -> dict[str, str]:
    """Three addresses that lead nowhere, by what is wrong with them."""
    return {"refused": refused, "silent": silent, "wrong": bare(somebody)}


def bare(daemon: Running) -> str:
    return daemon.address.partition("/p2p/")[0]


@contextlib.contextmanager
def knowing(folder: Path, peer: PeerId, *addresses: str) -> Iterator[Running]:
    """A daemon that knows these addresses of a peer from before its start."""
    folder.mkdir(0o700)
    store = Peerstore(folder / "peers.sqlite", time.time)
    store.open()
    store.add(peer, map(Multiaddr.parse, addresses), Lifetime.PERMANENT)
    store.close()
    with running(folder, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NETWORK_ADDRESS_TIMEOUT_S", str(SILENT_S))


def test_the_good_address_is_found(home: Path, tmp_path: Path, bad: dict[str, str], mesh: Mesh) -> None:
    with running(tmp_path / "good", "--api", "off") as good:
        peer = PeerId.parse(good.peer)
        with knowing(home, peer, *bad.values(), bare(good)) as daemon:
            done = mesh("swarm", "connect", good.peer)
            assert (done.status, done.err) == (0, "")
            assert done.out == f"connected  {good.peer}  {bare(good)}\n"
            assert mesh("ping", good.peer, "-c", "1", "--json").lines[-1]["lost"] == 0
            assert daemon.end() == (0, ""), "bad addresses of a peer are no warning"


def test_every_bad_address_is_listed_on_screen(home: Path, bad: dict[str, str], mesh: Mesh) -> None:
    with knowing(home, STRANGER, *bad.values()):
        outcome = mesh("swarm", "connect", str(STRANGER))
    assert (outcome.status, outcome.out) == (1, "")
    first, *lines = outcome.err.splitlines()
    assert first == f"error: cannot connect to peer {STRANGER}:"
    told = dict(line.strip().split(": ", 1) for line in lines)
    assert sorted(told) == sorted(bad.values())
    assert told[bad["refused"]] == "connect: Connection refused; nobody listens there"
    assert told[bad["silent"]].startswith("security negotiation: ")
    assert told[bad["silent"]].endswith("it accepted the connection and sent nothing")
    assert told[bad["wrong"]].startswith("noise handshake: ")


def test_every_bad_address_is_listed_as_json(
    home: Path, bad: dict[str, str], somebody: Running, mesh: Mesh
) -> None:
    with knowing(home, STRANGER, *bad.values()):
        outcome = mesh("swarm", "connect", str(STRANGER), "--json")
        again = mesh("ping", str(STRANGER), "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "dial")
    assert outcome.error["message"] == f"cannot connect to peer {STRANGER}"
    told = {each["address"]: (each["stage"], each["cause"]) for each in outcome.error["failures"]}
    assert told[bad["refused"]] == ("connect", "Connection refused; nobody listens there")
    assert told[bad["silent"]][0] == "security negotiation"
    assert re.search(r"did not finish it within 0\.[0-9]+ s", told[bad["silent"]][1])
    assert told[bad["wrong"]][0] == "noise handshake"
    assert somebody.peer in told[bad["wrong"]][1]
    assert str(STRANGER) in told[bad["wrong"]][1]
    assert len(told) == 3
    assert {each["stage"] for each in again.error["failures"]} == {"backoff"}, (
        "known bad ones rest for a while"
    )
    assert {each["address"] for each in again.error["failures"]} == set(bad.values())


@pytest.mark.parametrize("through", [(), ("--direct",)], ids=["daemon", "direct"])
def test_a_full_node_is_called_possibly_full(
    home: Path, tmp_path: Path, somebody: Running, mesh: Mesh, through: tuple[str, ...]
) -> None:
    folder = tmp_path / "full"
    folder.mkdir(0o700)
    (folder / "config.toml").write_text("[network]\nmax_connections = 1\n")
    with running(folder, "--api", "127.0.0.1:0") as full, running(home, "--api", "127.0.0.1:0"):
        assert mesh("swarm", "connect", somebody.address, "--path", folder).status == 0
        words = mesh("ping", full.address, *through)
        outcome = mesh("ping", full.address, *through, "--json")
        limits = mesh("swarm", "limits", "--path", folder)
        shown = mesh("swarm", "limits", "--path", folder, "--json").lines[0]
        counters = mesh("stats", "--path", folder, "--json").lines[0]["counters"]
        assert full.end() == (0, ""), "what a peer does is no warning"
    (failure,) = outcome.error["failures"]
    assert (outcome.status, failure["address"]) == (1, bare(full))
    assert failure["stage"] in TURNED_AWAY
    assert "possibly its connection limit" in failure["cause"]
    assert words.err.splitlines()[1].startswith(tuple(f"  {bare(full)}: {stage}: " for stage in TURNED_AWAY))
    assert "possibly its connection limit" in words.err
    assert limits.out.splitlines()[-1].split() == ["node", "connections", "2", "refused,", "limit", "1"]
    assert shown["refusals"] == [{"scope": "node", "resource": "connections", "count": 2, "limit": 1}]
    assert counters["connection.refused:connections"] == 2
