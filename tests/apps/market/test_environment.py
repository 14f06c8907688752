"""The real node's variables: honoured when they are set, none with an outside default; no test takes a key from there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.apps.market.environment import wallet_key, with_betar
from mesh.apps.market.money import Money
from mesh.config import Config, MarketSection, load
from mesh.console.market_serving import loaded_market
from tests.apps.market.conftest import VARIABLES

TESTS = Path(__file__).parents[2]
READS = frozenset(["environ", "getenv", "environb"])
KEYS = ("KEY", "WALLET", "SECRET", "MNEMONIC")


def test_each_variable(tmp_path: Path) -> None:
    set_ones = {
        "BETAR_DATA_DIR": str(tmp_path),
        "BETAR_WALLET_KEY_PATH": "/keys/wallet",
        "BOOTSTRAP_PEERS": " /ip4/127.0.0.1/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB ,",
        "ETHEREUM_RPC_URL": "http://127.0.0.1:8545",
        "FACILITATOR_URL": "http://127.0.0.1:8402",
        "P2P_ENABLE_RELAY": "yes",
        "IPFS_API_URL": "http://elsewhere",
        "GOOGLE_API_KEY": "x",
    }
    config = load(environ=with_betar(set_ones)).config
    assert config.key_path == tmp_path / "p2p_identity.key"
    assert str(config.market.wallet_file) == "/keys/wallet"
    assert len(config.network.bootstrap) == 1
    assert (config.market.rpc_url, config.market.facilitator_url) == (
        "http://127.0.0.1:8545",
        "http://127.0.0.1:8402",
    )
    assert config.relay.auto
    own = load(environ=with_betar({**set_ones, "MESH_MARKET_RPC_URL": "http://127.0.0.1:1"})).config
    assert own.market.rpc_url == "http://127.0.0.1:1"
    key_file = load(environ=with_betar({**set_ones, "BETAR_P2P_KEY_PATH": "/keys/p2p"})).config.key_path
    assert str(key_file) == "/keys/p2p"


def test_nothing_set_or_all_empty_leads_nowhere(tmp_path: Path) -> None:
    names = (
        "BOOTSTRAP_PEERS",
        "ETHEREUM_RPC_URL",
        "FACILITATOR_URL",
        "P2P_ENABLE_RELAY",
        "BETAR_P2P_KEY_PATH",
    )
    plain = load(tmp_path, environ={}).config
    assert load(tmp_path, environ=with_betar(dict.fromkeys(names, " "))).config.network.bootstrap == ()
    assert load(tmp_path, environ=with_betar(dict.fromkeys(names, ""))).config == plain
    asked = plain.market.rpc_url, plain.market.facilitator_url, plain.market.enabled
    assert asked == ("", "", False)
    found = plain.network.bootstrap, plain.relay.auto, plain.mdns.enabled
    assert found == ((), False, False)
    money = Money(Config(market=MarketSection(enabled=True)).market, None)
    assert (money.wallet, money.ledger, money.sells) == (None, None, False)


def test_what_market_verbs_turn_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    assert loaded_market(tmp_path).config.mdns.service == "betar-mdns"
    assert not loaded_market(tmp_path).config.mdns.enabled
    assert loaded_market(tmp_path).config.kademlia.mode == "off"
    peer = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
    known = loaded_market(tmp_path, {"network.bootstrap": [peer], "mdns.service": "_p2p._udp"}).config
    assert (known.kademlia.mode, known.mdns.service) == ("auto", "_p2p._udp")


def test_the_wallets_key() -> None:
    assert wallet_key({}) == wallet_key({"ETHEREUM_PRIVATE_KEY": " "}) == ""
    assert wallet_key({"ETHEREUM_PRIVATE_KEY": " 00ff "}) == "00ff"


WITHOUT = """
import sys
for name in ("eth_account", "coincurve", "eth_keys", "eth_utils", "eth_hash", "eth"):
    sys.modules[name] = None
"""


def test_free_agents_need_no_extra(tmp_path: Path) -> None:
    """The README's program, and then payments, where no library for them can be loaded."""
    readme = (TESTS.parent / "README.md").read_text()
    [program] = [each for each in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Market(" in each]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + program], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("upper True HELLO\n", "")
    paid = "from mesh.apps.market.money import Money\nfrom mesh.config import MarketSection\n"
    paid += "Money(MarketSection(rpc_url='http://127.0.0.1:1'), None)"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + paid], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert "needs the extra `market`" in done.stderr


def environment_reads() -> Iterator[tuple[str, int, str]]:
    """Where tests look up a name in the environment: file, line, the name."""
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            looked_up: list[ast.expr] = []
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                looked_up = [node.value, node.slice]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                method = node.func.attr in ("get", "getenv", "pop", "setdefault")
                looked_up = (
                    [node.func.value if node.func.attr != "getenv" else node.func, node.args[0]]
                    if method
                    else []
                )
            if (
                isinstance(node, ast.expr)
                and looked_up
                and isinstance(looked_up[0], ast.Attribute)
                and looked_up[0].attr in READS
            ):
                yield path.name, node.lineno, ast.unparse(looked_up[1])


def test_no_test_takes_a_key_from_the_environment() -> None:
    """All of them, whatever they test. That the look finds such reads is seen from those that take something else."""
    found = list(environment_reads())
    assert found
    assert [each for each in found if any(key in each[2].upper() for key in KEYS)] == []
