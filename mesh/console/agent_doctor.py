"""`mesh agent doctor`: what stands between this agent and others, one line a check."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mesh.console.agent_calls import START, TOKEN, Declined, agent_of
from mesh.console.agent_output import span, tell
from mesh.console.setup import FolderOption, JsonOption
from mesh.errors import ConfigError, MeshError

if TYPE_CHECKING:
    from mesh.config import Loaded

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what was found."""

    name: str
    verdict: Verdict
    found: str


def doctor(path: FolderOption = None, json: JsonOption = False) -> int:
    """Look at settings, files, daemon, relay, health and hook; status 1 when something fails."""
    checks = list(_checks(path))
    counts = {kind: sum(each.verdict == kind for each in checks) for kind in ("ok", "warn", "fail")}
    lines = [f"{each.verdict:<4}  {each.name}: {each.found}" for each in checks]
    lines.append(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    tell(json, {"checks": [asdict(each) for each in checks], **counts}, lines)
    return 1 if counts["fail"] else 0


def _checks(path: Path | None) -> Iterator[Check]:
    from mesh import __version__
    from mesh.config import load

    version = sys.version_info
    yield Check(
        "program", "ok", f"mesh {__version__}, Python {version.major}.{version.minor}.{version.micro}"
    )
    try:
        loaded = load(path)
    except ConfigError as error:
        yield Check("settings", "fail", str(error))
        return
    yield Check("settings", "ok", str(loaded.file) if loaded.file.exists() else f"defaults, no {loaded.file}")
    folder = loaded.config.node.path
    if folder is not None:
        yield from _files(folder, loaded)
    yield from _settings(loaded)
    yield from _hook(loaded)
    yield from _daemon(path)


def _files(folder: Path, loaded: Loaded) -> Iterator[Check]:
    if not folder.is_dir():
        yield Check("data folder", "warn", f"{folder} is not there; mesh init makes one")
        return
    yield Check("data folder", "ok", str(folder))
    for file in (loaded.config.node.key_file, TOKEN, "agent.db"):
        place = folder / file
        if not place.exists():
            yield Check(file, "warn", "not there yet; the daemon makes it")
        elif os.name == "posix" and place.stat().st_mode & 0o077:
            yield Check(
                file, "fail", f"mode {stat.S_IMODE(place.stat().st_mode):04o}; run: chmod 600 {place}"
            )
        else:
            yield Check(file, "ok", "for its owner alone")


def _settings(loaded: Loaded) -> Iterator[Check]:
    config = loaded.config
    yield Check(
        "agent.enabled",
        "ok" if config.agent.enabled else "warn",
        "on" if config.agent.enabled else f"off in the settings; {START}",
    )
    if not config.gossip.enabled and not loaded.is_default("gossip.enabled"):
        yield Check("gossip.enabled", "warn", "off by hand: no agent finds this one, and it finds none")
    first = (
        *config.network.bootstrap,
        *config.network.peering,
        *config.relay.relays,
        *config.agent.rendezvous,
    )
    if not (first or config.mdns.enabled):
        yield Check(
            "first peers",
            "warn",
            "none; set network.bootstrap or relay.relays, or connect with: mesh agent peers connect",
        )
    else:
        yield Check("first peers", "ok", f"{len(first)} named{', mDNS' if config.mdns.enabled else ''}")
    yield from _finding(loaded)


def _finding(loaded: Loaded) -> Iterator[Check]:
    """Whether agents that are found behind relays can hear of each other."""
    config = loaded.config
    if config.gossip.discover and config.kademlia.mode == "off":
        yield Check(
            "gossip.discover", "warn", "on, but there is no DHT to look in; set kademlia.mode to client"
        )
    if (
        (config.agent.rendezvous or config.gossip.discover)
        and config.relay.relays
        and not config.dcutr.enabled
    ):
        what = "off: pubsub does not run through relays, and nothing leads from there to a direct connection"
        yield Check("dcutr.enabled", "warn", what)


def _hook(loaded: Loaded) -> Iterator[Check]:
    from mesh.apps.agent.waking.channels import channel_of

    try:
        channel = channel_of(loaded.config.agent)
    except ConfigError as error:
        yield Check("wake", "fail", str(error))
        return
    if channel is None:
        yield Check("wake", "warn", "nothing wakes the agent; set agent.gateway_url, or agent.wake_command")
    else:
        yield Check("wake", "ok", f"{channel.name}; try it with: mesh agent wake test")


def _daemon(path: Path | None) -> Iterator[Check]:
    try:
        calls = agent_of(path)
        status, health = calls.get("/status"), calls.get("/health")
        network, services = calls.get("/status/network"), calls.get("/services")
        figures = calls.get("/messages/stats")
    except Declined as error:
        yield Check("agent API", "fail", f"answers {error.status}: {error}")
        return
    except MeshError as error:
        yield Check("agent API", "fail", str(error))
        return
    yield Check("agent API", "ok", f"{calls.url}, up {span(status['uptime'])}, peer {status['peerId']}")
    for each in health["errors"]:
        yield Check("health", "fail", each)
    if not health["errors"]:
        yield Check("health", "ok", f"{status['connectedPeers']} peers connected")
    yield Check(
        "relay", "ok", status["relayAddress"] or "no reservation; others have to reach this node directly"
    )
    heard = len(network["peers"])
    yield Check("agents", "ok" if heard else "warn", f"{heard} told their status in the last hour")
    yield Check("services", "ok", f"{services['count']} offered")
    yield Check("messages", "ok", f"{figures['totalMessages']} stored, {figures['totalUnread']} unread")
