"""The settings of Beam's service network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final

from mesh.config.rules import LONGEST_S, Section, count, seconds, switch
from mesh.config.values import MIB, Setting

PARTICIPATION: Final = ("light", "medium", "full")
LONGEST_TTL_S: Final = 172_800
_SUFFIX: Final = re.compile(r"(?:\.[a-z0-9]+)?")

ALIASES: Final = {
    "BEAM_NETWORK_MAX_PEERS": "keeping.high",
    "BEAM_BOOTSTRAP_PEERS": "network.bootstrap",
    "BEAM_NETWORK_BOOTSTRAP_PEERS": "network.bootstrap",
    "BEAM_NETWORK_DISCOVERY_INTERVAL": "pex.interval_s",
    "BEAM_MAX_CONNECTIONS": "network.max_connections",
    "BEAM_TIMEOUT": "network.dial_timeout_s",
    "BEAM_DOMAIN_TTL": "beam.name_ttl_s",
    "BEAM_DEFAULT_DOMAIN_SUFFIX": "beam.suffix",
    "BEAM_CACHE_SIZE": "beam.cache_entries",
    "BEAM_PEER_MODE": "beam.participation",
    "BEAM_MODE": "pex.enabled",
}
"""Beam's environment variables and the setting of each."""
_NOT_DONE: Final = {
    "BEAM_AUTH_TOKEN": "is a key of Beam's cloud, and there is none here; the API of this daemon has a token in the data "
    "folder: unset it",
    "BEAM_ENCRYPTION_KEY": "names a key for what is sent, but connections agree on fresh keys by Noise or TLS: unset it",
    "BEAM_PEER_ID": "names an identity, but that follows from the key in the data folder (`mesh key import`): unset it",
}
"""Variables that ask for what is not done here; to be silent about it would make believe that it is."""
_MODES: Final = {"bootstrap": "true"}
"""A bootstrap node is one that others ask for peers."""
_OTHER_MODE: Final = (
    "is bootstrap or unset, not {!r}: what a node does for others, BEAM_PEER_MODE sets (light, medium, full)"
)
VARIABLES: Final = (*ALIASES, *_NOT_DONE)
"""All of Beam's that are looked at."""
_IN_MILLISECONDS: Final = frozenset({"BEAM_TIMEOUT"})
_PLACES: Final = frozenset({"BEAM_BOOTSTRAP_PEERS", "BEAM_NETWORK_BOOTSTRAP_PEERS"})
_PLACE: Final = re.compile(r"\[?([^\[\]/]+?)\]?:([0-9]{1,5})")


def refusal(variable: str, text: str) -> str:
    """What is wrong with a variable of Beam's that asks for what is not done here; empty when nothing is."""
    if variable == "BEAM_MODE" and text not in _MODES:
        return _OTHER_MODE.format(text)
    return _NOT_DONE.get(variable, "") if text else ""


def setting_text(variable: str, text: str) -> str:
    """What the setting of one of Beam's variables is to be, if `refusal` has nothing against it: times have no unit,
    peers are written HOST:PORT."""
    if variable == "BEAM_MODE":
        return _MODES[text]
    if variable in _IN_MILLISECONDS:
        return f"{text} ms"
    if variable in _PLACES:
        return ",".join(_address(each.strip()) for each in text.split(","))
    return text


def _address(place: str) -> str:
    """HOST:PORT as a multiaddr; anything else as it is."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return place
    host, port = found[1], found[2]
    try:
        kind = f"ip{ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}"


def _shape_of_suffix(text: str) -> str:
    return "" if _SUFFIX.fullmatch(text) else "is not empty or a dot and one word, such as .local"


def _ttl(text: str) -> Setting:
    return Setting(text, "count", minimum=10, maximum=LONGEST_TTL_S)


@dataclass(frozen=True, slots=True)
class BeamSection(Section):
    """Beam: services under names, found without a server, and tunnels to them."""

    enabled: Annotated[
        bool, switch("Take part in Beam's service network, with a DHT of its own: /beam/kad/1.0.0.")
    ] = False
    participation: Annotated[
        str,
        Setting(
            "What this node does for others, where other settings do not say: light asks the DHT, medium serves it, full "
            "also relays, forwards and speaks pubsub.",
            choices=PARTICIPATION,
        ),
    ] = "medium"
    suffix: Annotated[
        str, Setting("What the service of a name ends in: myapp becomes myapp.local.", shape=_shape_of_suffix)
    ] = ".local"
    service_ttl_s: Annotated[
        int, _ttl("A service counts for so long, in seconds; announced again after half.")
    ] = 3600
    name_ttl_s: Annotated[int, _ttl("A name counts for so long, in seconds; announced again after half.")] = (
        86_400
    )
    heartbeat_s: Annotated[float, seconds("Time between two heartbeats to others.")] = 30.0
    probe_s: Annotated[float, seconds("Time between two probes of the providers in use.")] = 30.0
    cache_s: Annotated[float, seconds("What was found of a service is not looked up again for so long.")] = (
        60.0
    )
    cache_entries: Annotated[int, count("Services of which that is remembered.", maximum=100_000)] = 1024
    sync_s: Annotated[
        float,
        Setting(
            "Time between two exchanges of records with some peers; 0 for none.",
            "seconds",
            minimum=0,
            maximum=LONGEST_S,
        ),
    ] = 300.0
    query_s: Annotated[
        float, seconds("Wait for answers of others where the DHT knows nothing of a service.")
    ] = 5.0
    max_tunnels: Annotated[
        int, count("Connections that others may have through tunnels.", maximum=65_536)
    ] = 256
    max_tunnels_per_peer: Annotated[int, count("Of those, of one peer.", maximum=65_536)] = 64
    striping: Annotated[
        bool, switch("Send what goes through a tunnel by two paths at a time, not by the best one alone.")
    ] = False
    forward: Annotated[
        bool, switch("Pass on what chains of others lead through this node, and tell of its links.")
    ] = False
    max_chains: Annotated[int, count("Chains of others through this node at a time.", maximum=65_536)] = 64
    max_chains_per_peer: Annotated[int, count("Of those, of one peer.", maximum=65_536)] = 8
    chain_s: Annotated[
        float,
        Setting("A chain is ended after this; 0 for never.", "seconds", minimum=0, maximum=LONGEST_S),
    ] = 3600.0
    chain_bytes: Annotated[
        int, Setting("A chain passes this much each way; 0 for no limit.", "size", minimum=0)
    ] = 1024 * MIB
    share_health: Annotated[
        bool, switch("Tell others how this node does, and of grave alerts, and count what they tell.")
    ] = False
    share_trust: Annotated[
        bool, switch("Tell others how far this node trusts its peers, and count what they tell.")
    ] = False
    least_trust: Annotated[
        int, count("Percent of trust that a peer needs for chains through this node.", 0, 100)
    ] = 0
