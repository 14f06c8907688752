"""`mesh market`: a seller and a buyer as processes, and the verbs beside them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.storage import keystore
from tests.console.conftest import Mesh
from tests.vectors import load

PLAIN = ("MESH_", "BETAR_", "ETHEREUM_", "FACILITATOR_", "BOOTSTRAP_", "P2P_")
LISTEN = ("--listen", "/ip4/127.0.0.1/tcp/0", "--market-api", "127.0.0.1:0", "--api", "off")


@dataclass
class Serving:
    """A running `mesh market serve`."""

    process: subprocess.Popen[str]
    folder: Path
    address: str = ""
    peer: str = ""
    api: str = ""


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **environ: str) -> Iterator[Serving]:
    """Until the end of the block; ``environ`` are variables besides the plain ones."""
    place = ["--path", str(folder)] if "BETAR_DATA_DIR" not in environ else []
    process = subprocess.Popen(
        [sys.executable, "-m", "mesh", "market", "serve", *place, *LISTEN, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(PLAIN)} | environ,
    )
    assert process.stdout is not None
    made = Serving(process, folder)
    for line in process.stdout:
        words = line.split()
        if words[0] == "peer":
            made.peer = words[1]
        elif words[0] == "listening":
            made.address = words[1]
        elif words[:2] == ["market", "api"]:
            made.api = words[2]
        elif words == ["ready"]:
            break
    try:
        yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def found(mesh: Mesh, folder: Path, name: str) -> str:
    """The id of an agent, once it is listed there."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        outcome = mesh("market", "agent", "discover", name, "--path", folder)
        if outcome.out:
            return outcome.out.split()[0]
    raise AssertionError(f"{name} was not listed")


def test_a_seller_and_a_buyer(mesh: Mesh, tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text('[[agent]]\nname = "turn"\ncommand = ["rev"]\ncapabilities = ["text"]\n')
    seller_folder, buyer_folder = tmp_path / "seller", tmp_path / "buyer"
    shout = ("--name", "shout", "--command", "tr a-z A-Z", "--description", "loud")
    with (
        serving(seller_folder, *shout, "--agents", str(agents)) as seller,
        serving(buyer_folder, "--bootstrap", seller.address),
    ):
        loud, back = found(mesh, buyer_folder, "shout"), found(mesh, buyer_folder, "turn")
        at = ("--path", buyer_folder)
        told = mesh("market", "agent", "discover", "--capability", "text", "--sort", "price", *at).out
        assert told.startswith(f"{back}  turn  free  verified")
        done = mesh("market", "agent", "execute", "--agent-id", loud, "--task", "hello", *at)
        assert (done.status, done.out) == (0, "HELLO\n")
        flow = mesh(
            "market", "workflow", "create", "--chain", f"{loud},{back}", "--input", "abc", "--wait", *at
        )
        assert flow.out.splitlines()[0].endswith(" completed")
        assert flow.out.splitlines()[2].split()[1:] == ["completed", back, "CBA"]
        flow_id = flow.out.split()[0]
        assert mesh("market", "workflow", "status", "--id", flow_id, *at).out == flow.out
        assert flow_id in mesh("market", "workflow", "list", *at).out
        assert mesh("market", "workflow", "cancel", "--id", flow_id, *at).status == 2
        order = mesh("market", "order", "create", "--agent-id", loud, "--price", "0.5", *at).out.split()
        assert order[1] == "pending"
        assert order[0] in mesh("market", "order", "list", "--path", seller_folder).out
        assert "delivered" in mesh("market", "wallet", "purchases", *at).out
        broke = mesh("market", "wallet", "balance", *at)
        assert (broke.status, broke.err) == (3, "error: payments are off: set market.rpc_url\n")
        own = mesh("market", "agent", "list", "--path", seller_folder).out
        assert {line.split()[1] for line in own.splitlines()} == {"shout", "turn"}
        gone = mesh("market", "agent", "withdraw", "--agent-id", loud, "--path", seller_folder)
        assert gone.out == f"withdrawn {loud} shout\n"
        until = time.monotonic() + 20
        while loud in mesh("market", "agent", "discover", *at).out:
            assert time.monotonic() < until
        made = mesh(
            "market", "agent", "register", "--name", "count", "--command", "wc -c", "--price", "2", *at
        )
        assert made.out.split()[1] == "count"
        assert found(mesh, seller_folder, "count") == made.out.split()[0]
    gone = mesh("market", "agent", "list", "--path", seller_folder)
    assert "start one with: mesh market serve" in gone.err


def test_the_real_nodes_variables(mesh: Mesh, tmp_path: Path) -> None:
    case = load("identity", "betar")["keys"][0]
    folder = tmp_path / "betar"
    folder.mkdir(mode=0o700)
    keystore.save(folder / "p2p_identity.key", PrivateKey.from_protobuf(bytes.fromhex(case["key_file_hex"])))
    assert (folder / "p2p_identity.key").read_bytes().hex() == case["key_file_hex"]
    with serving(folder, BETAR_DATA_DIR=str(folder)) as first:
        assert first.peer == case["peer_id"]
        other = tmp_path / "other.key"
        key = PrivateKey.generate()
        keystore.save(other, key)
        names = {
            "BETAR_DATA_DIR": str(tmp_path / "second"),
            "BETAR_P2P_KEY_PATH": str(other),
            "BOOTSTRAP_PEERS": f" {first.address} ,",
            "P2P_ENABLE_RELAY": "false",
            "ETHEREUM_RPC_URL": "",
            "FACILITATOR_URL": "",
        }
        with serving(tmp_path / "second", "--name", "x", "--command", "cat", **names) as second:
            assert second.peer == str(PeerId.from_public_key(key.public))
            assert found(mesh, folder, "x")
        assert not (tmp_path / "second" / "wallet.key").exists()


def test_money_moves_on_no_chain_that_was_not_allowed(mesh: Mesh, tmp_path: Path) -> None:
    refused = mesh("market", "serve", *LISTEN, "--rpc-url", "https://sepolia.example", "--path", tmp_path)
    assert refused.status == 3
    assert "market.allow_chain" in refused.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--command", "cat"], "an agent has a --name"),
        (["--name", "x"], "has either a command or an endpoint"),
        (
            ["--name", "x", "--command", "cat", "--python", "os:getcwd"],
            "one of --command, --url and --python",
        ),
        (["--name", "x", "--python", "os:none"], "names no function"),
        (["--name", "x", "--command", "cat", "--announce-interval", "1"], "below the least value 5"),
        (["--agents", "/nowhere.toml"], "cannot be read"),
    ],
)
def test_what_is_not_served(mesh: Mesh, tmp_path: Path, arguments: list[str], reason: str) -> None:
    refused = mesh("market", "serve", *LISTEN, "--path", tmp_path, *arguments)
    assert refused.status in (2, 3)
    assert reason in refused.err
