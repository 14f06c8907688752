"""What each situation changes from the quiet defaults; `mesh init --profile` writes it out."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.config.values import KIB, MIB, near
from mesh.errors import ConfigError

EVERYWHERE = tuple(
    f"/{host}/{port}"
    for port in ("tcp/4001", "udp/4001/quic-v1", "tcp/4002/ws")
    for host in ("ip4/0.0.0.0", "ip6/::")
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of values and one sentence of what they turn on."""

    summary: str
    values: dict[str, object]


PROFILES: dict[str, Profile] = {
    "lan": Profile(
        "listens on all interfaces, finds peers in the local network by mDNS, and serves their DHT",
        {
            "network.listen": EVERYWHERE,
            "network.max_connections": 512,
            "kademlia.mode": "server",
            "kademlia.prefix": "/ipfs/lan",
            "mdns.enabled": True,
        },
    ),
    "public": Profile(
        "listens on all interfaces, for a machine that the internet can reach, joins the public DHT and dials back",
        {"network.listen": EVERYWHERE, "kademlia.mode": "auto", "autonat.serve": True},
    ),
    "server": Profile(
        "listens on all interfaces with higher limits, serves the public DHT, AutoNAT and perf, and logs JSON at info",
        {
            "network.listen": EVERYWHERE,
            "network.max_connections": 16384,
            "network.max_pending_upgrades": 1024,
            "network.max_held_bytes": 2048 * MIB,
            "network.listen_backlog": 4096,
            "kademlia.mode": "server",
            "autonat.serve": True,
            "services.serve": ("perf",),
            "log.level": "info",
            "log.format": "json",
        },
    ),
    "lowpower": Profile(
        "keeps to loopback with fewer connections, smaller windows and rarer keepalives",
        {
            "network.max_connections": 64,
            "network.max_pending_upgrades": 16,
            "network.max_held_bytes": 32 * MIB,
            "network.listen_backlog": 32,
            "yamux.max_window_bytes": MIB,
            "yamux.max_held_bytes": 4 * MIB,
            "yamux.max_inbound_streams": 64,
            "yamux.accept_backlog": 32,
            "yamux.keepalive_s": 120.0,
        },
    ),
    "test": Profile(
        "listens on a free loopback port, serves echo, perf and a DHT of its own, and gives up quickly",
        {
            "network.listen": (
                "/ip4/127.0.0.1/tcp/0",
                "/ip4/127.0.0.1/udp/0/quic-v1",
                "/ip4/127.0.0.1/tcp/0/ws",
            ),
            "network.dial_timeout_s": 5.0,
            "network.upgrade_timeout_s": 5.0,
            "network.max_connections": 256,
            "network.max_held_bytes": 64 * MIB,
            "yamux.max_held_bytes": 16 * MIB,
            "yamux.max_window_bytes": 256 * KIB,
            "kademlia.mode": "server",
            "kademlia.prefix": "/mesh/test",
            "kademlia.addresses": "all",
            "services.serve": ("echo", "perf"),
        },
    ),
}


def profile_named(name: str) -> Profile:
    """The profile, or a `ConfigError` that names the known ones."""
    try:
        return PROFILES[name]
    except KeyError:
        known = tuple(PROFILES)
        raise ConfigError(f"profile {name!r} is not one of {', '.join(known)}{near(name, known)}") from None
