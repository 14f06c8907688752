"""A swarm put together from a node's settings: its transports, its limits, its rules."""

from __future__ import annotations

from mesh.config import Config
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.circuit.transport import CircuitTransport
from mesh.network.connection_manager import ConnectionManager
from mesh.network.connection_manager import Settings as Watermarks
from mesh.network.environment import Handlers
from mesh.network.gater import Gater
from mesh.network.machine_size import machine_size
from mesh.network.memory import MemoryTransport
from mesh.network.memory_counter import MemoryCounter
from mesh.network.quic.transport import QuicTransport
from mesh.network.resource_limits import Limits, scaled_limits, unlimited
from mesh.network.resources import Resources
from mesh.network.scope import Scope
from mesh.network.security import make_security
from mesh.network.swarm import Swarm
from mesh.network.tcp import TcpTransport
from mesh.network.transport import Transport
from mesh.network.upgrade import UpgradeSettings
from mesh.network.websocket import WebSocketTransport
from mesh.protocols import yamux
from mesh.telemetry.counters import Counters


def make_swarm(
    config: Config,
    key: PrivateKey,
    handlers: Handlers,
    scope: Scope,
    counters: Counters,
    memory: MemoryTransport,
) -> Swarm:
    """A swarm of the identity ``key`` that neither listens nor dials yet. Raises `ConfigError`, `StorageError`."""
    limits = config.yamux
    upgrade = UpgradeSettings(
        security=make_security(config.network.security, key, [yamux.PROTOCOL_ID]),
        yamux=yamux.Settings(
            max_window_bytes=limits.max_window_bytes,
            max_growth_bytes=limits.max_growth_bytes,
            max_held_bytes=limits.max_held_bytes,
            max_inbound_streams=limits.max_inbound_streams,
            accept_backlog=limits.accept_backlog,
            keepalive_s=limits.keepalive_s,
            keepalive_timeout_s=limits.keepalive_timeout_s,
        ),
        memory=MemoryCounter(config.network.max_held_bytes),
    )
    folder = config.node.path
    marks = config.keeping if config.keeping.enabled else config.connections
    return Swarm(
        PeerId.from_public_key(key.public),
        config.network,
        upgrade,
        handlers,
        _transports(config, key, upgrade.memory, counters, memory),
        scope,
        counters,
        Resources(_limits(config)),
        Gater(folder / "gater.json" if folder is not None else None),
        ConnectionManager(Watermarks(marks.low, marks.high, config.connections.grace_s)),
        CircuitTransport(counters),
    )


def _transports(
    config: Config, key: PrivateKey, held: MemoryCounter, counters: Counters, memory: MemoryTransport
) -> list[Transport]:
    network = config.network
    return [
        QuicTransport(
            config.quic,
            key,
            held,
            counters,
            upgrade_s=network.upgrade_timeout_s,
            max_pending=network.max_pending_upgrades,
        ),
        TcpTransport(network.listen_backlog, reuse_port=config.dcutr.enabled),
        WebSocketTransport(
            network.listen_backlog,
            certificate=network.tls_certificate,
            key=network.tls_key,
            trust=network.tls_trust,
        ),
        memory,
    ]


def _limits(config: Config) -> Limits:
    """The limits of every resource scope: this machine's, then this node's own settings."""
    network, section = config.network, config.limits
    if section.scale == "unlimited":
        limits = unlimited()
    else:
        limits = scaled_limits(*machine_size()).with_settings(
            {
                "limits.system.conns": network.max_connections,
                "limits.system.conns_inbound": network.max_connections,
                "limits.system.conns_outbound": network.max_connections,
                "limits.transient.conns": 2 * network.max_pending_upgrades,
                "limits.transient.conns_inbound": network.max_pending_upgrades,
                "limits.transient.conns_outbound": network.max_pending_upgrades,
            }
        )
    overrides: dict[str, object] = {}
    for text in section.overrides:
        key, _, value = text.partition("=")
        overrides[f"limits.{key.strip()}"] = int(value) if value.strip().isdecimal() else value.strip()
    return limits.with_settings(overrides)
