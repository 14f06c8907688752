"""What the verbs of `mesh beam` print. Text that peers wrote is made printable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.console.output import say
from mesh.telemetry.log import printable

Shown = Mapping[str, Any]


def say_registered(done: Shown) -> None:
    """A registration and what became of it."""
    service, name = done["service"], done["name"]
    say(f"service {service['service_id']} at {service['peer_id']}")
    if name is not None:
        say(f"name {name['name']} of {'this node' if name['own'] else name['owner_peer_id']}")
    if done["queued"]:
        say("no majority of the network knows yet; it is told as soon as peers come")
    else:
        say(f"known to {done['accepted']} of {done['asked']} peers, in {done['took_ms']:.0f} ms")


def say_services(found: Sequence[Shown]) -> None:
    """Services, one a line."""
    if not found:
        say("no service is known")
    for each in found:
        whose = "this node" if each["own"] else each["peer_id"]
        say(f"{each['service_id']}  {each['service_type']}  {whose}")


def say_found(found: Shown) -> None:
    """Providers, best first, with their addresses."""
    if found["owner"]:
        say(f"owner {found['owner']}")
    for each in found["providers"]:
        health = each["health"]
        took = "" if health["response_ms"] is None else f", answers in {health['response_ms']:.1f} ms"
        say(f"provider {each['peer_id']} ({each['path']}, {health['status']}{took})")
        for address in dict.fromkeys((*each["endpoints"], *each["addresses"])):
            say(f"  {printable(address)}")
        for key, value in each["metadata"].items():
            say(f"  {printable(str(key))}: {printable(str(value))}")
    for peer in found["left_out"]:
        say(f"left out {peer}: it has no right to the name")
    if not found["providers"]:
        say(f"nobody provides {found['service_id']}")
    say(f"found in {found['took_ms']:.1f} ms ({found['source']})")


def say_tunnel(made: Shown) -> None:
    """A tunnel that was just opened."""
    say(f"tunnel {made['id']} to {made['target']}")
    say(f"listening {made['local']}")


def say_tunnels(found: Sequence[Shown]) -> None:
    """Tunnels, one a line, with why the last connection failed."""
    if not found:
        say("no tunnel is open")
    for each in found:
        where = f"{each['provider']} ({each['path']})" if each["provider"] else "nobody yet"
        sizes = f"{each['bytes_sent']} bytes out, {each['bytes_received']} in"
        say(f"{each['id']}  {each['local']}  {each['target']}  {where}  {each['opened']} opened, {sizes}")
        if each["cause"]:
            say(f"  last failure: {printable(each['cause'])}")


def say_standing(found: Shown) -> None:
    """The figures of `status`."""
    dht, cache, width = found["dht"], found["cache"], found["bandwidth"]
    health = "" if dht["health_percent"] is None else f", health {dht['health_percent']:g} %"
    say(f"peers online: {found['peers_online']}, {found['neighbours']} of Beam's network")
    say(f"dht: {dht['mode']}, {dht['peers']} peers{health}")
    say(f"latency: {_or_none(found['latency_ms'], 'ms')}")
    say(f"bandwidth: {width['bytes_in_s']:.0f} bytes/s in, {width['bytes_out_s']:.0f} out")
    say(f"cpu: {found['cpu_percent']:g} %")
    memory = found["memory_bytes"]
    say(f"memory: {_or_none(None if memory is None else memory // 2**20, 'MiB')}")
    say(f"services: {found['services']['own']} own, {found['services']['known']} known")
    say(f"domains: {found['domains']['own']} own, {found['domains']['known']} known")
    say(f"cache hits: {cache['hits']} of {cache['lookups']} lookups")
    say(f"tunnels: {found['tunnels']['open']} open, {found['tunnels']['serving']} connections served")
    if found["outbox"]:
        say(f"outbox: {found['outbox']} registrations wait")
    if found["alerts"]:
        say(f"alerts: {found['alerts']}")


def say_concerns(found: Sequence[Shown]) -> None:
    """What stands in the way, and what to do."""
    if not found:
        say("nothing stands in the way")
    for each in found:
        say(f"{printable(each['text'])}: {printable(each['remedy'])}")


def say_contribution(found: Shown) -> None:
    """What the daemon did for others."""
    say(f"routes provided: {found['routes_provided']}")
    say(f"data relayed: {found['data_relayed']} bytes")
    say(f"peers helped: {found['peers_helped']}")
    say(f"tunnels served: {found['tunnels_served']}")
    say(f"uptime: {found['uptime_s']:.0f} s")


def say_peers(found: Sequence[Shown]) -> None:
    """Connected peers, one a line."""
    if not found:
        say("no peer is connected")
    for each in found:
        took = _or_none(each["latency_ms"], "ms")
        whose = "" if each["beam"] else "  not of Beam's network"
        health = f"  {each['health']}" if each["health"] else ""
        say(
            f"{each['peer']}  {each['path']}  {took}  score {each['score']:g}  trust {each['trust']:g}{health}{whose}"
        )


def say_stats(found: Shown) -> None:
    """Figures of a period."""
    for name, each in found["figures"].items():
        span = f"{each['least']:g} to {each['most']:g}"
        say(f"{name.replace('_', ' ')}: {each['mean']:g} ({span}), {each['trend']}")
    if not found["figures"]:
        say(f"nothing was measured in the last {found['period']} yet")


def say_wellbeing(found: Shown) -> None:
    """How this node and others do."""
    own = found["own"]
    checks = ", ".join(f"{each['name']} {each['value']:g}" for each in own["checks"])
    say(f"this node: {own['status']}{f' ({checks})' if checks else ''}")
    for each in found["peers"]:
        say(f"{each['peer']}: {each['status']}")
    for peer in found["down"]:
        say(f"{peer}: called down by several")
    for each in found["correlations"]:
        say(
            f"{each['count']} alerts within five minutes: {each['kind']} {printable(each['subject'])}".rstrip()
        )


def say_alerts(found: Sequence[Shown]) -> None:
    """Alerts, one a line."""
    if not found:
        say("no alert")
    for each in found:
        say(
            f"{each['age_s']:.0f} s ago  {each['type']}  {each['severity']}  {each['peer']}  {each['description']}"
        )


def say_names(found: Sequence[Shown]) -> None:
    """Names, one a line."""
    if not found:
        say("no name is known")
    for each in found:
        claims = ", ".join(each["claims"]) or "nobody now"
        trusted = (
            f"  trusted: {each['trusted']}" if each["trusted"] and [each["trusted"]] != each["claims"] else ""
        )
        say(f"{each['name']}  {'this node' if each['own'] else claims}{trusted}")


def say_name(found: Shown) -> None:
    """The record of a name."""
    say(f"name {found['name']}, version {found['version']}")
    say(f"owner {found['owner_peer_id']}{' (this node)' if found['own'] else ''}")
    if found["tunnel_id"]:
        say(f"service {printable(found['tunnel_id'])}")
    if found["description"]:
        say(f"description {printable(found['description'])}")
    for tag in found["tags"]:
        say(f"tag {printable(tag)}")
    for peer in found["providers"]:
        say(f"also served by {peer}")
    for each in found["history"]:
        say(f"given by {each['previousOwner']} to {each['newOwner']}")


def say_claimed(done: Shown) -> None:
    """A name that was claimed or changed."""
    say(f"name {done['name']} of {'this node' if done['own'] else done['owner_peer_id']}")
    for peer in done["providers"]:
        say(f"also served by {peer}")
    if done["queued"]:
        say("no majority of the network knows yet; it is told as soon as peers come")


def _or_none(value: Any, unit: str) -> str:
    return "not known" if value is None else f"{value} {unit}"
