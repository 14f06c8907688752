"""The real node's environment variables as our settings (section 1.4). None has a default that leads outside; an empty
one counts as unset, and a variable or flag of ours wins over them.

Not honoured: what its language models need, registries of reputation, the IPFS API, which nothing here asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mesh.apps.market.money import KEY_VARIABLE

KEY_FILE: Final = "p2p_identity.key"
_SAME: Final = {
    "BETAR_DATA_DIR": "MESH_PATH",
    "BETAR_P2P_KEY_PATH": "MESH_NODE_KEY_FILE",
    "BETAR_WALLET_KEY_PATH": "MESH_MARKET_WALLET_FILE",
    "BOOTSTRAP_PEERS": "MESH_NETWORK_BOOTSTRAP",
    "ETHEREUM_RPC_URL": "MESH_MARKET_RPC_URL",
    "FACILITATOR_URL": "MESH_MARKET_FACILITATOR_URL",
}
RELAY: Final = "P2P_ENABLE_RELAY"
"""Set to anything but `false`: be reached through connected peers that are relays."""


def with_betar(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the real node's variables in ours; a data folder of its has its key file too."""
    found = {
        ours: environ[theirs].strip() for theirs, ours in _SAME.items() if environ.get(theirs, "").strip()
    }
    if environ.get(RELAY, ""):
        found["MESH_RELAY_AUTO"] = "false" if environ[RELAY] == "false" else "true"
    if "MESH_PATH" in found:
        found.setdefault("MESH_NODE_KEY_FILE", KEY_FILE)
    return {**found, **environ}


def wallet_key(environ: Mapping[str, str]) -> str:
    """The wallet's key, if the environment has it: 64 hexadecimal digits."""
    return environ.get(KEY_VARIABLE, "").strip()
