"""What money may be spent on: caps, and the chains that it may move on.

A chain is local when its JSON-RPC and the facilitator are on this machine and its id is one that development chains use.
Any other wants to be named in `market.allow_chain`, and a cap a day beside it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mesh.errors import ConfigError

BASE_SEPOLIA: Final = 84532
USDC: Final = {
    BASE_SEPOLIA: bytes.fromhex("036cbd53842c5426634e7929541ec2318f3dcf7e"),
    8453: bytes.fromhex("833589fcd6edb6e08f4c7c32d4f71b54bda02913"),
}
"""Where the token is on chains that the network names (section 3.7)."""
DEVELOPMENT_CHAINS: Final = frozenset((1337, 31337, BASE_SEPOLIA))


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be spent in atomic units: on one call, on one peer in a day, in a day. None is no cap."""

    call: int | None = None
    peer_day: int | None = None
    day: int | None = None


def on_this_machine(url: str) -> bool:
    """Whether an http address leads to this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(chain_id: int, *urls: str) -> bool:
    """Whether this is a chain for development."""
    return chain_id in DEVELOPMENT_CHAINS and all(map(on_this_machine, urls))


def check_chain(chain_id: int, urls: Collection[str], allowed: Collection[int], caps: Caps) -> None:
    """Raises `ConfigError` where money may not move on this chain, reached at these addresses."""
    if is_local(chain_id, *urls):
        return
    if chain_id not in allowed:
        raise ConfigError(
            f"payments on chain {chain_id} are not allowed: add {chain_id} to market.allow_chain, "
            "and set market.max_per_day"
        )
    if caps.day is None:
        raise ConfigError(f"payments on chain {chain_id} want a cap: set market.max_per_day")
