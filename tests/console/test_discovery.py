"""`mesh rendezvous` and `mesh diag`, with a daemon in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import Mesh
from tests.console.test_dht import until
from tests.console.test_swarm import Running, running

NOBODY = "/ip4/127.0.0.1/tcp/1"


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("point") / "home"
    folder.mkdir()
    (folder / "config.toml").write_text("[rendezvous]\nserve = true\n")
    with running(folder, "--api", "off") as started:
        yield started


@pytest.fixture
def daemon(home: Path, point: Running) -> Iterator[Running]:
    home.mkdir()
    peering = f'peering = ["{point.address}"]\nbootstrap = ["{NOBODY}"]\n'
    (home / "config.toml").write_text(f"[network]\n{peering}")
    with running(home, "--api", "127.0.0.1:0") as started:
        yield started


def test_rendezvous(daemon: Running, point: Running, mesh: Mesh) -> None:
    done = mesh("rendezvous", "register", point.address, "chess", "--ttl", "3h")
    assert (done.status, done.out) == (0, "registered under chess for 10800 s\n")
    found = mesh("rendezvous", "discover", point.address, "chess")
    *peers, cookie = found.out.splitlines()
    assert peers[0] == f"chess  {daemon.address}"
    assert cookie.startswith("cookie ")
    news = mesh("rendezvous", "discover", point.peer, "chess", "--cookie", cookie.partition(" ")[2], "--json")
    assert news.lines[0]["peers"] == []
    (shown,) = mesh("rendezvous", "discover", point.address, "--json").lines[0]["peers"]
    assert (shown["peer"], shown["namespace"]) == (daemon.peer, "chess")
    gone = mesh("rendezvous", "unregister", point.address, "chess")
    assert gone.out == "no longer registered under chess\n"
    until(lambda: not mesh("rendezvous", "discover", point.address, "--json").lines[0]["peers"])
    refused = mesh("rendezvous", "register", point.address, "chess", "--ttl", "1m", "--json")
    assert (refused.status, refused.error["code"]) == (2, "usage")
    assert mesh("rendezvous", "register", point.address, "chess", "--ttl", "soon").status == 2


def test_diagnoses(daemon: Running, point: Running, mesh: Mesh) -> None:
    off = mesh("diag", "mdns")
    assert (off.status, off.out) == (0, "mDNS is off; turn it on with mdns.enabled (_p2p._udp.local)\n")
    assert not mesh("diag", "mdns", "--json").lines[0]["enabled"]
    until(lambda: f"peering {point.address}  connected" in mesh("diag", "bootstrap").out)
    until(lambda: f"bootstrap {NOBODY}  failed " in mesh("diag", "bootstrap").out)
    said = mesh("diag", "bootstrap").out
    assert f"  resolves to {NOBODY}\n" in said
    assert ": connect: " in said
    entries = mesh("diag", "bootstrap", "--json").lines[0]["entries"]
    assert [(each["kind"], each["connected"]) for each in entries] == [
        ("bootstrap", False),
        ("peering", True),
    ]


def test_without_a_daemon(mesh: Mesh) -> None:
    for arguments in (("diag", "mdns"), ("diag", "bootstrap"), ("rendezvous", "discover", NOBODY)):
        refused = mesh(*arguments, "--json")
        assert (refused.status, refused.error["code"]) == (1, "no-daemon")
