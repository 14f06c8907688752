"""The settings of the agent daemon."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from mesh.config.rules import Section, count, seconds, switch
from mesh.config.values import Setting, shape_of_address, shape_of_api_listen

AGENT_API: Final = "127.0.0.1:4003"
_WEB: Final = re.compile(r"(?:https?://[^\s/?#@]+(?:/[^\s?#]*)?)?")
_ORIGIN: Final = re.compile(r"https?://[^\s/?#@]+")
_KEY: Final = re.compile(r"(?:0[23][0-9a-f]{64})?")
MAX_NAME_CHARACTERS: Final = 256


def shape_of_agent_name(text: str) -> str:
    """At most 256 characters that can be shown."""
    fits = len(text) <= MAX_NAME_CHARACTERS and text.isprintable()
    return "" if fits else f"is not a name of at most {MAX_NAME_CHARACTERS} printable characters"


def _shape_of_web(text: str) -> str:
    return "" if _WEB.fullmatch(text) else "is not an http:// or https:// address"


def _shape_of_origin(text: str) -> str:
    return "" if _ORIGIN.fullmatch(text) else "is not an origin such as https://example.org:8443"


def _shape_of_key(text: str) -> str:
    return "" if _KEY.fullmatch(text) else "is not a compressed secp256k1 key in hexadecimal"


@dataclass(frozen=True, slots=True)
class AgentSection(Section):
    """The agent daemon: messages between agents, a directory of services, an HTTP API, a hook that wakes an agent."""

    enabled: Annotated[bool, switch("Be an agent daemon.")] = False
    name: Annotated[
        str,
        Setting("Name that others are shown; empty for the first of the peer id.", shape=shape_of_agent_name),
    ] = ""
    api: Annotated[
        str,
        Setting(
            "HOST:PORT of the agent API, or off; beyond loopback every caller needs the token.",
            shape=shape_of_api_listen,
            flag="--agent-api",
        ),
    ] = AGENT_API
    api_token: Annotated[
        str,
        Setting(
            "Who needs the token of agent.token: callers beyond loopback, or all.", choices=("remote", "all")
        ),
    ] = "remote"
    api_origins: Annotated[
        tuple[str, ...],
        Setting(
            "Origins of web pages that may use the agent API besides its own.", "list", shape=_shape_of_origin
        ),
    ] = ()
    topics: Annotated[
        tuple[str, ...],
        Setting(
            "Names of the topics: of stock daemons (code), of their README (readme, with one for directories).",
            "list",
            choices=("code", "readme"),
        ),
    ] = ("code",)
    rendezvous: Annotated[
        tuple[str, ...],
        Setting(
            "Rendezvous points where this agent registers and looks for others. Each ends in /p2p/<peer id>.",
            "list",
            shape=shape_of_address,
        ),
    ] = ()
    rendezvous_interval_s: Annotated[float, seconds("Time between two looks there.")] = 60.0
    announce_interval_s: Annotated[float, seconds("Time between two announcements of this agent.")] = 300.0
    announce_ttl_s: Annotated[float, seconds("An agent not heard of for so long leaves the directory.")] = (
        900.0
    )
    status_interval_s: Annotated[float, seconds("Time between two broadcasts of this node's status.")] = 60.0
    health_interval_s: Annotated[float, seconds("Time between two looks at this node's health.")] = 30.0
    rate: Annotated[int, count("Messages that a peer may send in a window of agent.rate_window_s.")] = 100
    rate_window_s: Annotated[float, seconds("That window.")] = 60.0
    max_attempts: Annotated[
        int,
        count(
            "A message at which so many exchanges with its receiver failed is a dead letter.", maximum=100_000
        ),
    ] = 100
    outbox_days: Annotated[
        int, count("A message that waited for its receiver so long is a dead letter.", maximum=14)
    ] = 14
    retention_days: Annotated[
        int, count("Messages older than this are forgotten; 0 keeps them.", 0, 36_500)
    ] = 0
    retention_messages: Annotated[
        int, count("With more messages than this the oldest are forgotten; 0 for no limit.", 0, 100_000_000)
    ] = 0
    max_peers: Annotated[
        int, count("Peers in the address book; then those without name, note and tag go.", 16, 1_000_000)
    ] = 100_000
    bsv_identity_key: Annotated[
        str, Setting("Public key that announcements name, in hexadecimal.", shape=_shape_of_key)
    ] = ""
    bsv_key_file: Annotated[
        Path | None,
        Setting(
            "File of the BSV private key, 64 hexadecimal digits, that attests this node's peer id.", "path"
        ),
    ] = None
    gateway_url: Annotated[
        str, Setting("Gateway whose hooks wake the agent; empty for none.", shape=_shape_of_web)
    ] = ""
    gateway_token_file: Annotated[Path | None, Setting("File of that gateway's token.", "path")] = None
    wake_command: Annotated[
        tuple[str, ...], Setting("Program and arguments that wake the agent instead.", "list")
    ] = ()
    wake_timeout_s: Annotated[float, seconds("Time for the gateway to answer, or the command to end.")] = 30.0
    wake_attempts: Annotated[int, count("A wake that failed so often is given up.", maximum=10_000)] = 30
    wake_retry_s: Annotated[
        float, seconds("Pause after a first failure; it doubles with each further one.")
    ] = 1.0
    wake_retry_max_s: Annotated[float, seconds("Longest such pause.")] = 300.0
    wake_budget: Annotated[
        int, count("Wakes that one peer may cause a minute; more of its messages wait for the next one.")
    ] = 20
    wake_budget_total: Annotated[int, count("Wakes a minute that all peers together may cause.")] = 120
    wake_batch: Annotated[int, count("Messages of one peer that one wake may tell of.", maximum=100)] = 20
    wake_parallel: Annotated[int, count("Wakes under way at once, each for another peer.", maximum=64)] = 4
    wake_mode: Annotated[
        str,
        Setting("When the gateway wakes the agent.", choices=("now", "next-heartbeat")),
    ] = "now"
    wake_model: Annotated[str, Setting("Model that the gateway is asked to use; empty for its own.")] = ""
    wake_thinking: Annotated[
        str, Setting("Level of thinking that the gateway is asked for; empty for its own.")
    ] = ""
