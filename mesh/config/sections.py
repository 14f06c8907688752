"""Every setting with its default, one section per floor.

`Config()` is what a program gets that asks for nothing: no data folder, no bootstrap list, no services.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from mesh.config.agent import AgentSection
from mesh.config.beam import BeamSection
from mesh.config.blocks import BlocksSection
from mesh.config.crdt import CrdtSection
from mesh.config.discovery import KeepingSection, MdnsSection, PexSection, RendezvousSection
from mesh.config.lethean import LetheanSection
from mesh.config.market import MarketSection
from mesh.config.reachability import AutonatSection, DcutrSection, PortMappingSection, StunSection
from mesh.config.rules import LONGEST_S, Section, settings_of
from mesh.config.rules import count as _count
from mesh.config.rules import seconds as _time
from mesh.config.rules import size as _bytes
from mesh.config.rules import switch as _switch
from mesh.config.values import KIB, LOG_LEVELS, MIB, Setting, shape_of_address, shape_of_api_listen

KEY_TYPES = ("ed25519", "secp256k1", "ecdsa", "rsa")
SECURITY = ("noise", "tls")
SERVICES = ("echo", "perf")
PUBSUB_PROTOCOLS = ("/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0")
SIGNATURE_POLICIES = ("strict-sign", "strict-no-sign", "lax-sign", "lax-no-sign")


def _shape_of_prefix(text: str) -> str:
    """A path without a slash at its end, short enough for a protocol id."""
    if text.startswith("/") and not text.endswith("/") and len(text) <= 64 and text.isprintable():
        return ""
    return "is not a path like /ipfs"


def _shape_of_control(text: str) -> str:
    """A Unix socket besides what `shape_of_api_listen` takes."""
    if text.startswith("unix:"):
        return "" if text.startswith("unix:/") and text != "unix:/" else "has no absolute path behind unix:"
    return shape_of_api_listen(text)


@dataclass(frozen=True, slots=True)
class NodeSection(Section):
    """Who this node is and where it keeps things."""

    path: Annotated[
        Path | None,
        Setting("Data folder. Without one nothing is stored and the identity is thrown away.", "path"),
    ] = None
    key_file: Annotated[
        str, Setting("File of the private key, inside the data folder unless it is an absolute path.")
    ] = "identity.key"
    key_type: Annotated[str, Setting("Type of a key that has to be created.", choices=KEY_TYPES)] = "ed25519"


@dataclass(frozen=True, slots=True)
class NetworkSection(Section):
    """Addresses, times and limits of connections."""

    listen: Annotated[tuple[str, ...], Setting("Addresses to listen on.", "list", shape=shape_of_address)] = (
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/127.0.0.1/udp/4001/quic-v1",
        "/ip4/127.0.0.1/tcp/4002/ws",
    )
    bootstrap: Annotated[
        tuple[str, ...], Setting("Peers to connect to at start.", "list", shape=shape_of_address)
    ] = ()
    peering: Annotated[
        tuple[str, ...],
        Setting(
            "Peers to keep connected: never trimmed, dialled again for ever. Each ends in /p2p/<peer id>.",
            "list",
            shape=shape_of_address,
        ),
    ] = ()
    announce: Annotated[
        tuple[str, ...],
        Setting("Addresses to tell others instead of those found.", "list", shape=shape_of_address),
    ] = ()
    append_announce: Annotated[
        tuple[str, ...],
        Setting("Addresses to tell others besides those found.", "list", shape=shape_of_address),
    ] = ()
    no_announce: Annotated[
        tuple[str, ...],
        Setting("Addresses never to tell: multiaddrs or their beginnings, IP addresses, networks.", "list"),
    ] = ()
    security: Annotated[
        tuple[str, ...],
        Setting(
            "How connections are secured: dialling proposes these in order, listening takes any of them.",
            "list",
            choices=SECURITY,
        ),
    ] = SECURITY
    connect_timeout_s: Annotated[float, _time("Time for the TCP connection to one address.")] = 5.0
    address_timeout_s: Annotated[float, _time("Time to reach a peer at one address, upgrade included.")] = (
        15.0
    )
    dial_timeout_s: Annotated[float, _time("Time to reach a peer over all its addresses.")] = 60.0
    upgrade_timeout_s: Annotated[float, _time("Time to secure and multiplex a new connection.")] = 15.0
    negotiate_timeout_s: Annotated[float, _time("Time to agree on the protocol of a stream.")] = 10.0
    open_timeout_s: Annotated[float, _time("Time to open a stream, waiting for its peer included.")] = 15.0
    close_timeout_s: Annotated[float, _time("Time that queued data gets to leave when closing.")] = 2.0
    max_connections: Annotated[int, _count("Connections at once; further ones are refused.")] = 4096
    max_pending_upgrades: Annotated[int, _count("Inbound connections that may be in their handshake.")] = 256
    max_held_bytes: Annotated[
        int, Setting("Unread payload that all connections together may hold.", "size", minimum=64 * KIB)
    ] = 512 * MIB
    listen_backlog: Annotated[
        int, _count("Connections the system may queue for a listener.", maximum=65_535)
    ] = 512
    tls_certificate: Annotated[
        Path | None, Setting("PEM file of the certificate and its chain, to listen on wss addresses.", "path")
    ] = None
    tls_key: Annotated[Path | None, Setting("PEM file of that certificate's private key.", "path")] = None
    tls_trust: Annotated[
        Path | None,
        Setting("PEM file of authorities to trust besides the system's when dialling wss addresses.", "path"),
    ] = None


@dataclass(frozen=True, slots=True)
class YamuxSection(Section):
    """Limits and times of the streams inside one connection."""

    max_window_bytes: Annotated[
        int,
        Setting("A stream's receive window grows up to this.", "size", minimum=256 * KIB, maximum=1024 * MIB),
    ] = 16 * MIB
    max_growth_bytes: Annotated[
        int, Setting("All receive windows of one connection may grow by this together.", "size")
    ] = 64 * MIB
    max_held_bytes: Annotated[
        int, Setting("Unread payload that one connection may hold.", "size", minimum=64 * KIB)
    ] = 64 * MIB
    max_inbound_streams: Annotated[int, _count("Streams opened by the peer that live at once.")] = 1024
    accept_backlog: Annotated[int, _count("Streams opened and not yet acknowledged, each way.")] = 256
    keepalive_s: Annotated[float, _time("A ping is sent this long after the last one.")] = 30.0
    keepalive_timeout_s: Annotated[float, _time("An unanswered ping ends the connection after this.")] = 10.0


@dataclass(frozen=True, slots=True)
class QuicSection(Section):
    """Limits and times of QUIC connections, and what speaks QUIC."""

    engine: Annotated[
        str,
        Setting(
            "What speaks QUIC: auto takes qh3 where it is installed, else aioquic.",
            choices=("auto", "qh3", "aioquic"),
        ),
    ] = "auto"
    stream_window_bytes: Annotated[
        int, Setting("What a peer may send on a stream before it is read.", "size", minimum=64 * KIB)
    ] = 10 * MIB
    connection_window_bytes: Annotated[
        int, Setting("The same for all streams of a connection.", "size", minimum=64 * KIB)
    ] = 15 * MIB
    max_inbound_streams: Annotated[int, _count("Streams opened by the peer that live at once.")] = 256
    max_datagram_bytes: Annotated[
        int,
        Setting(
            "Datagrams grow up to this where the path carries them.", "size", minimum=1200, maximum=65_507
        ),
    ] = 1452
    keepalive_s: Annotated[float, _time("A peer silent for this long is sent a ping.")] = 15.0
    idle_timeout_s: Annotated[float, _time("A peer silent for this long is given up.")] = 30.0
    retry_above: Annotated[
        int, _count("With more handshakes than this under way, strangers must prove their address first.")
    ] = 64


@dataclass(frozen=True, slots=True)
class LimitsSection(Section):
    """How much peers may use: go-libp2p's scopes (system, transient, peer, protocol, protocol_peer, source)."""

    scale: Annotated[
        str, Setting("Scale the limits to this machine, or lift them all.", choices=("machine", "unlimited"))
    ] = "machine"
    overrides: Annotated[
        tuple[str, ...],
        Setting("Limits that differ, such as peer.conns=16 or system.streams=unlimited.", "list"),
    ] = ()


@dataclass(frozen=True, slots=True)
class ConnectionsSection(Section):
    """Watermarks of the connection manager."""

    low: Annotated[int, _count("Trimming goes down to this many connections.", minimum=0)] = 160
    high: Annotated[int, _count("Above this many connections trimming begins.", minimum=0)] = 192
    grace_s: Annotated[float, _time("New connections are spared this long.")] = 60.0


@dataclass(frozen=True, slots=True)
class IdentifySection(Section):
    """What this node tells others about itself."""

    protocol_version: Annotated[str, Setting("Family of networks this node belongs to.")] = "ipfs/0.1.0"
    agent_version: Annotated[str, Setting("Name of the program; empty means mesh/<version>.")] = ""
    timeout_s: Annotated[float, _time("Time for one identify exchange.")] = 5.0


@dataclass(frozen=True, slots=True)
class PingSection(Section):
    """Round trip measurement."""

    timeout_s: Annotated[float, _time("A ping unanswered for this long is lost.")] = 10.0


@dataclass(frozen=True, slots=True)
class KademliaSection(Section):
    """The DHT: finding peers, values and providers."""

    mode: Annotated[
        str,
        Setting(
            "Part in the network: off, client (asks only), server (also answers), auto (server once reachable).",
            choices=("off", "client", "server", "auto"),
            flag="--dht",
        ),
    ] = "off"
    prefix: Annotated[
        str, Setting("Which network: the protocol is <prefix>/kad/1.0.0.", shape=_shape_of_prefix)
    ] = "/ipfs"
    addresses: Annotated[
        str,
        Setting(
            "Addresses that belong to the network; auto is public for /ipfs, private for /ipfs/lan, else all.",
            choices=("auto", "public", "private", "all"),
        ),
    ] = "auto"
    alpha: Annotated[int, _count("Requests of one lookup at a time.", maximum=100)] = 10
    paths: Annotated[int, _count("Disjoint paths of one lookup.", maximum=10)] = 1
    refresh_s: Annotated[float, _time("Each bucket is looked up this often.")] = 600.0
    record_entries: Annotated[int, _count("Values kept for others.", maximum=100_000_000)] = 65_536
    record_bytes: Annotated[int, _bytes("Values kept for others, together.")] = 64 * MIB
    record_peer_entries: Annotated[int, _count("Values kept for one peer.", maximum=100_000_000)] = 1024
    record_peer_bytes: Annotated[int, _bytes("Values kept for one peer, together.")] = 4 * MIB
    record_value_bytes: Annotated[int, _bytes("Longest value that is kept.")] = 256 * KIB
    provider_entries: Annotated[int, _count("Announcements kept.", maximum=100_000_000)] = 131_072
    provider_bytes: Annotated[int, _bytes("Announcements kept, together.")] = 64 * MIB
    provider_peer_entries: Annotated[int, _count("Announcements kept of one peer.", maximum=100_000_000)] = (
        8192
    )
    provider_peer_bytes: Annotated[int, _bytes("Announcements kept of one peer, together.")] = 4 * MIB
    provider_key_entries: Annotated[int, _count("Providers kept of one key.")] = 256


@dataclass(frozen=True, slots=True)
class GossipSection(Section):
    """Pubsub: topics that peers publish to and subscribe to."""

    enabled: Annotated[bool, _switch("Speak pubsub with every peer that does.")] = False
    protocols: Annotated[
        tuple[str, ...], Setting("Protocols to speak, best first.", "list", choices=PUBSUB_PROTOCOLS)
    ] = PUBSUB_PROTOCOLS
    signatures: Annotated[
        str,
        Setting(
            "Whether own messages are signed, and what others' must be; lax takes either.",
            choices=SIGNATURE_POLICIES,
        ),
    ] = "strict-sign"
    topics: Annotated[
        tuple[str, ...],
        Setting("Topics to take notice of; * stands for any text. Empty for all.", "list"),
    ] = ()
    max_rpc_bytes: Annotated[
        int,
        Setting("Longest RPC that is taken; a message has to fit in one.", "size", minimum=KIB, maximum=MIB),
    ] = MIB
    publish_patience_s: Annotated[
        float, _time("A publisher waits so long for a peer that does not read, then leaves it out.")
    ] = 5.0
    d: Annotated[int, _count("Mesh neighbours wanted in a topic.", maximum=1000)] = 6
    d_low: Annotated[int, _count("With fewer, more are taken.", maximum=1000)] = 5
    d_high: Annotated[int, _count("With so many, some are given up.", maximum=1000)] = 12
    d_out: Annotated[int, _count("Neighbours that this node dialled, at least.", 0, 1000)] = 2
    d_lazy: Annotated[int, _count("Peers outside the mesh told of messages, at least.", 0, 1000)] = 6
    heartbeat_s: Annotated[float, _time("Time between two heartbeats.")] = 1.0
    history: Annotated[int, _count("Heartbeats for which a message can be asked for.", maximum=1000)] = 5
    history_gossip: Annotated[int, _count("Of those, the latest that others are told of.", maximum=1000)] = 3
    flood_publish: Annotated[
        bool, _switch("Send own messages to every peer of a topic, not the mesh alone.")
    ] = False
    peer_exchange: Annotated[bool, _switch("Name other peers of a topic to those given up.")] = False
    direct: Annotated[
        tuple[str, ...],
        Setting("Peers always connected to and sent everything.", "list", shape=shape_of_address),
    ] = ()
    scores: Annotated[
        bool, _switch("Keep scores of peers; those that forge or break promises are heard less.")
    ] = False
    verify_threads: Annotated[
        int,
        _count(
            "Threads that check signatures of many messages: two are a little quicker, one takes less of a processor.",
            maximum=2,
        ),
    ] = 2
    discover: Annotated[bool, _switch("Announce topics and find their peers in the DHT.")] = False
    trace_file: Annotated[
        Path | None, Setting("File for a trace of events, in the form of go's JSON tracer.", "path")
    ] = None


@dataclass(frozen=True, slots=True)
class RelaySection(Section):
    """Circuit relay: being reached through relays, and being one."""

    relays: Annotated[
        tuple[str, ...],
        Setting("Relays to be reached through, each ending in its peer id.", "list", shape=shape_of_address),
    ] = ()
    auto: Annotated[bool, _switch("Also be reached through connected peers that are relays.")] = False
    wanted: Annotated[int, _count("Relays to be reached through at a time.", 0, 20)] = 2
    always: Annotated[bool, _switch("Also where others reach this node without, as AutoNAT tells.")] = False
    check_s: Annotated[
        float,
        _time("A relay silent for so long is pinged; two pings unanswered for as long, and it is lost."),
    ] = 2.0
    serve: Annotated[bool, _switch("Be a relay for others.")] = False
    max_reservations: Annotated[
        int, _count("Peers that may be reached through this relay.", flag="--reservations")
    ] = 100
    max_reservations_per_ip: Annotated[int, _count("Of those, from one address (IPv6: one /56).")] = 8
    reservation_s: Annotated[float, _time("A reservation lasts this long unless it is renewed.")] = 3600.0
    max_circuits_per_peer: Annotated[int, _count("Circuits that a peer is an end of.", flag="--circuits")] = (
        16
    )
    circuit_s: Annotated[
        float,
        Setting(
            "A circuit is ended after this; 0 for never.",
            "seconds",
            minimum=0,
            maximum=LONGEST_S,
            flag="--time",
        ),
    ] = 120.0
    circuit_bytes: Annotated[
        int, Setting("A circuit passes this much each way; 0 for no limit.", "size", minimum=0, flag="--data")
    ] = 128 * KIB
    topics: Annotated[
        tuple[str, ...],
        Setting(
            "Pubsub topics to join only to pass on what is said there: agent for those of agent daemons.",
            "list",
            choices=("agent",),
            flag="--topics",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class ServicesSection(Section):
    """Optional protocols to answer."""

    serve: Annotated[
        tuple[str, ...], Setting("Protocols to serve besides identify and ping.", "list", choices=SERVICES)
    ] = ()


@dataclass(frozen=True, slots=True)
class ApiSection(Section):
    """The control API."""

    listen: Annotated[
        str,
        Setting(
            "HOST:PORT or unix:/path of the control API, or off; by default 127.0.0.1:4003, 4004 beside an agent.",
            shape=_shape_of_control,
            flag="--api",
        ),
    ] = "off"
    metrics: Annotated[
        str, Setting("Who may read /metrics: holders of the token, or everyone.", choices=("token", "open"))
    ] = "token"


@dataclass(frozen=True, slots=True)
class LogSection(Section):
    """What is written to stderr."""

    level: Annotated[str, Setting("Least level that is written.", choices=LOG_LEVELS, flag="--log-level")] = (
        "warning"
    )
    format: Annotated[
        str, Setting("Lines for people or for programs.", choices=("text", "json"), flag="--log-format")
    ] = "text"
    levels: Annotated[
        tuple[tuple[str, str], ...],
        Setting('Levels of subsystems, such as network = "debug".', "levels", choices=LOG_LEVELS),
    ] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a node."""

    node: NodeSection = field(default_factory=NodeSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    yamux: YamuxSection = field(default_factory=YamuxSection)
    quic: QuicSection = field(default_factory=QuicSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    connections: ConnectionsSection = field(default_factory=ConnectionsSection)
    identify: IdentifySection = field(default_factory=IdentifySection)
    autonat: AutonatSection = field(default_factory=AutonatSection)
    stun: StunSection = field(default_factory=StunSection)
    port_mapping: PortMappingSection = field(default_factory=PortMappingSection)
    ping: PingSection = field(default_factory=PingSection)
    kademlia: KademliaSection = field(default_factory=KademliaSection)
    gossip: GossipSection = field(default_factory=GossipSection)
    mdns: MdnsSection = field(default_factory=MdnsSection)
    relay: RelaySection = field(default_factory=RelaySection)
    dcutr: DcutrSection = field(default_factory=DcutrSection)
    rendezvous: RendezvousSection = field(default_factory=RendezvousSection)
    pex: PexSection = field(default_factory=PexSection)
    keeping: KeepingSection = field(default_factory=KeepingSection)
    blocks: BlocksSection = field(default_factory=BlocksSection)
    crdt: CrdtSection = field(default_factory=CrdtSection)
    lethean: LetheanSection = field(default_factory=LetheanSection)
    agent: AgentSection = field(default_factory=AgentSection)
    market: MarketSection = field(default_factory=MarketSection)
    beam: BeamSection = field(default_factory=BeamSection)
    services: ServicesSection = field(default_factory=ServicesSection)
    api: ApiSection = field(default_factory=ApiSection)
    log: LogSection = field(default_factory=LogSection)

    @property
    def key_path(self) -> Path | None:
        """Where the private key is kept, or None when nothing is stored."""
        return None if self.node.path is None else self.node.path / self.node.key_file


SECTIONS: dict[str, type[Section]] = {
    "node": NodeSection,
    "network": NetworkSection,
    "yamux": YamuxSection,
    "quic": QuicSection,
    "limits": LimitsSection,
    "connections": ConnectionsSection,
    "identify": IdentifySection,
    "autonat": AutonatSection,
    "stun": StunSection,
    "port_mapping": PortMappingSection,
    "ping": PingSection,
    "kademlia": KademliaSection,
    "gossip": GossipSection,
    "mdns": MdnsSection,
    "relay": RelaySection,
    "dcutr": DcutrSection,
    "rendezvous": RendezvousSection,
    "pex": PexSection,
    "keeping": KeepingSection,
    "blocks": BlocksSection,
    "crdt": CrdtSection,
    "lethean": LetheanSection,
    "agent": AgentSection,
    "market": MarketSection,
    "beam": BeamSection,
    "services": ServicesSection,
    "api": ApiSection,
    "log": LogSection,
}


def every_setting() -> Iterator[tuple[str, Setting]]:
    """``("network.listen", rule)`` for each field of each section, in the order of this page."""
    for name, section in SECTIONS.items():
        for key, rule in settings_of(section).items():
            yield f"{name}.{key}", rule


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key: ``value_of(config, "network.listen")``."""
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)
