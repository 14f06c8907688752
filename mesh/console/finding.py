"""`mesh diag mdns` and `mesh diag bootstrap`: what the running daemon sees of the ways to find peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.console.output import say, say_json
from mesh.console.setup import FolderOption, JsonOption


def mdns(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what mDNS heard and sent on each interface, which are left out and why, and who is near."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/diag/mdns")
    if json:
        say_json(found)
    elif not found["enabled"]:
        say(f"mDNS is off; turn it on with mdns.enabled ({_clean(found['service'])})")
    else:
        _say_mdns(found)


def bootstrap(path: FolderOption = None, json: JsonOption = False) -> None:
    """Show what each bootstrap and peering address resolves to now, and how dialling it went; nobody is dialled."""
    from mesh.console.client import running

    found = running(path).ask("GET", "/diag/bootstrap")
    if json:
        say_json(found)
        return
    if not found["entries"]:
        say("network.bootstrap and network.peering are empty")
    for each in found["entries"]:
        say(f"{each['kind']} {_clean(each['addr'])}  {_clean(_standing(each))}")
        for address in each["resolved"]:
            say(f"  resolves to {_clean(address)}")
        if each["resolve_failure"]:
            say(f"  resolves to nothing: {_clean(each['resolve_failure'])}")


def _say_mdns(found: Mapping[str, Any]) -> None:
    say(f"service {_clean(found['service'])}, as {_clean(found['instance'])}")
    for link in found["links"]:
        say(f"{_clean(link['interface'])} ({', '.join(link['families'])})")
        say(f"  sent {link['queries_sent']} questions, {link['answers_sent']} answers")
        say(f"  heard {link['queries_heard']} questions, {link['answers_heard']} answers")
        lost = {name: link[name] for name in ("dropped", "malformed", "refused") if link[name]}
        if lost:
            say("  not taken: " + ", ".join(f"{count} {name}" for name, count in lost.items()))
        for family, failure in link["failures"].items():
            say(f"  {family}: {_clean(failure)}")
    for name, reason in found["skipped"].items():
        say(f"{_clean(name)} is not used: {_clean(reason)}")
    if not found["peers"]:
        say("no peer was heard")
    for peer in found["peers"]:
        state = "connected" if peer["connected"] else "not connected"
        say(f"peer {peer['peer']} on {_clean(peer['interface'])}, heard {peer['heard_s']:.0f} s ago, {state}")
        for address in peer["addrs"]:
            say(f"  {_clean(address)}")


def _standing(entry: Mapping[str, Any]) -> str:
    if entry["connected"]:
        return "connected"
    if entry["failures"]:
        wait = entry["next_try_s"]
        when = "" if wait is None else f", next try in {wait:.0f} s"
        return f"failed {entry['failures']}x{when}: {' '.join(entry['failure'].split())}"
    return "was reached" if entry["reached"] else "not dialled yet"


def _clean(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)
