"""The settings of the Lethean mesh."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from mesh.config.rules import Section, count, seconds, switch
from mesh.config.values import KIB, MIB, Setting, shape_of_api_listen

LETHEAN_PORT: Final = 9091
_NAME: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_ -]{0,62}[A-Za-z0-9])?)?")
_NETWORK: Final = re.compile(r"(?:[0-9a-fA-F]{32})?")
_PEER: Final = re.compile(r"(?:[0-9a-f]{32}@)?[^@\s]+:[0-9]{1,5}")


def _shape_of_name(text: str) -> str:
    """Letters, digits, hyphens, underscores and spaces, the first and last a letter or digit."""
    return "" if _NAME.fullmatch(text) else "is not a name of at most 64 plain letters, digits, - _ or spaces"


def _shape_of_peer(text: str) -> str:
    return "" if _PEER.fullmatch(text) else "is not HOST:PORT or NODE-ID@HOST:PORT"


def _shape_of_network(text: str) -> str:
    return "" if _NETWORK.fullmatch(text) else "is not 32 hexadecimal digits"


@dataclass(frozen=True, slots=True)
class LetheanSection(Section):
    """The Lethean mesh: encrypted commands over WebSocket, between controllers and workers."""

    listen: Annotated[
        str, Setting("HOST:PORT to listen on, or off.", shape=shape_of_api_listen, flag="--listen")
    ] = "off"
    name: Annotated[
        str, Setting("Name that peers are shown; empty for the host's.", shape=_shape_of_name, flag="--name")
    ] = ""
    role: Annotated[
        str,
        Setting(
            "What this node is: controller asks, worker answers, dual does both.",
            choices=("controller", "worker", "dual"),
            flag="--role",
        ),
    ] = "dual"
    peers: Annotated[
        tuple[str, ...],
        Setting("Peers to keep connected, as NODE-ID@HOST:PORT or HOST:PORT.", "list", shape=_shape_of_peer),
    ] = ()
    mode: Annotated[
        str,
        Setting(
            "Who may connect: those on the allowlist, or everyone (open).",
            choices=("allowlist", "open"),
            flag="--mode",
        ),
    ] = "allowlist"
    allow: Annotated[
        tuple[str, ...],
        Setting("Public keys that may connect, besides those in the allowlist's file.", "list"),
    ] = ()
    grants: Annotated[
        tuple[str, ...],
        Setting(
            "Who may ask for what: NODE-ID=start+stop+deploy, or * for all that may connect; verbs are ping, stats, "
            "logs, start, stop, deploy, all, and execute for deployed files.",
            "list",
        ),
    ] = ("*=ping+stats+logs",)
    authorise: Annotated[
        bool, switch("Hold commands to these grants; off lets every connected peer command, as Go nodes do.")
    ] = True
    compat: Annotated[
        bool, switch("Judge peers as loosely as Go nodes do: ids need not follow from keys, and the like.")
    ] = False
    max_peers: Annotated[int, count("Peers that are remembered.", maximum=100_000)] = 10_000
    programs: Annotated[Path | None, Setting("TOML file of the programs that a worker may run.", "path")] = (
        None
    )
    max_miners: Annotated[int, count("Programs at once.", maximum=1000)] = 16
    max_profiles: Annotated[int, count("Profiles that a worker keeps.", maximum=100_000)] = 1000
    max_requests: Annotated[int, count("Requests of ours that wait for their answers.")] = 4096
    max_connections: Annotated[int, count("Connections at once; further ones are answered 503.")] = 100
    max_message_bytes: Annotated[
        int, Setting("Longest message that is taken.", "size", minimum=4 * KIB, maximum=MIB)
    ] = MIB
    ping_interval_s: Annotated[float, seconds("A connection is pinged this often.")] = 30.0
    pong_timeout_s: Annotated[float, seconds("Silence that is borne beyond that.")] = 10.0
    handshake_timeout_s: Annotated[float, seconds("Time for a new connection's handshake.")] = 10.0
    ueps_listen: Annotated[
        str,
        Setting(
            "HOST:PORT to take UEPS packets over TCP on, or off.", shape=shape_of_api_listen, flag="--ueps"
        ),
    ] = "off"
    ueps_secret: Annotated[
        Path | None, Setting("File of the secret that those packets are verified under.", "path")
    ] = None
    levin_listen: Annotated[
        str,
        Setting("HOST:PORT to take Levin connections on, or off.", shape=shape_of_api_listen, flag="--levin"),
    ] = "off"
    levin_network: Annotated[
        str, Setting("Id of the Levin peers' network: 32 hexadecimal digits.", shape=_shape_of_network)
    ] = ""
    levin_max_payload_bytes: Annotated[
        int, Setting("Longest payload of a Levin packet.", "size", minimum=4 * KIB, maximum=100 * MIB)
    ] = MIB
    tls_certificate: Annotated[
        Path | None, Setting("PEM file of the certificate and its chain, to listen with TLS.", "path")
    ] = None
    tls_key: Annotated[Path | None, Setting("PEM file of that certificate's private key.", "path")] = None
    dial_tls: Annotated[bool, switch("Dial with TLS.")] = False
    tls_trust: Annotated[
        Path | None, Setting("PEM file of authorities to trust besides the system's when dialling.", "path")
    ] = None
