"""What the DHT's verbs print: words from the same objects that `--json` prints as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.console.output import say, say_json


class Steps:
    """Shows a lookup as it goes, one line a step, and the peers it found at the end."""

    def __init__(self, traced: bool, as_json: bool) -> None:
        self._traced = traced
        self._as_json = as_json
        self._counts = {"asked": 0, "answered": 0, "failed": 0}
        self._hops = 0
        self._ended: Mapping[str, Any] = {}

    def show(self, line: Mapping[str, Any]) -> None:
        """Take the next object of the stream."""
        kind = line["type"]
        if kind == "result":
            self._result(line)
            return
        if kind in self._counts:
            self._counts[kind] += 1
        if kind == "answered":
            self._hops = max(self._hops, line["hop"])
        if kind == "ended":
            self._ended = line
        if self._traced and self._as_json:
            say_json(line)
        elif self._traced:
            say(_step(line))

    def _result(self, line: Mapping[str, Any]) -> None:
        if self._as_json:
            say_json(line)
            return
        say_near(line["peers"])
        counts = self._counts
        say(
            f"{len(line['peers'])} peers; asked {counts['asked']}, {counts['answered']} answered, "
            f"{counts['failed']} failed, {self._hops} hops, {self._ended['at_ms']:.1f} ms: "
            f"{self._ended['reason']}"
        )


def say_near(peers: Iterable[Mapping[str, Any]]) -> None:
    """A line for each peer: id, shared prefix, first address."""
    for each in peers:
        address = each["addrs"][0] if each["addrs"] else "-"
        say(f"{_clean(each['peer'])}  {each['prefix_length']:>3} bits  {_clean(address)}")


def say_addresses(peer: str, addresses: Iterable[str]) -> None:
    """A line for each address, ready to be dialled."""
    suffix = f"/p2p/{peer}"
    for address in addresses:
        say(_clean(address if address.endswith(suffix) else address + suffix))


def say_provider(line: Mapping[str, Any]) -> None:
    """A provider and its addresses on one line."""
    say("  ".join([_clean(line["peer"]), *map(_clean, line["addrs"])]))


def say_written(done: Mapping[str, Any], verb: str) -> None:
    """How many took it, and why others did not."""
    missed = "" if done["reached"] else "; no majority"
    say(f"{verb} {len(done['accepted'])} of {done['asked']} peers{missed}")
    for each in done["refused"]:
        say(f"  {_clean(each['peer'])}: {_clean(each['cause'])}")


def say_table(found: Mapping[str, Any]) -> None:
    """Each bucket with its members."""
    say(f"{found['size']} peers in {len(found['buckets'])} buckets")
    for bucket in found["buckets"]:
        say(
            f"bucket {bucket['number']}, prefix {bucket['prefix_length']}: {len(bucket['entries'])} peers, "
            f"{len(bucket['replacements'])} waiting, {bucket['failing']} failing, {bucket['stale']} stale"
        )
        for each in bucket["entries"]:
            useful = each["useful_age_s"]
            state = "never useful" if useful is None else f"useful {useful:.0f} s ago"
            failures = f", {each['failures']} failures" if each["failures"] else ""
            address = each["addrs"][0] if each["addrs"] else "-"
            say(f"  {_clean(each['peer'])}  {state}{failures}  {_clean(address)}")
        for peer in bucket["replacements"]:
            say(f"  {_clean(peer)}  waiting")


def say_status(found: Mapping[str, Any]) -> None:
    """A line for each figure."""
    chosen = "" if found["setting"] == found["mode"] else f" (set to {found['setting']})"
    rtt_ms = found["network_rtt_ms"]
    say(f"mode: {found['mode']}{chosen}")
    say(f"protocol: {_clean(found['protocol'])}")
    say(f"addresses: {found['addresses']}")
    say(f"table: {found['table_size']} peers in {found['buckets']} buckets")
    say(f"network round trip: {'-' if rtt_ms is None else f'{rtt_ms:.1f} ms'}")
    for name in ("values", "providers"):
        held = found[name]
        say(f"{name}: {held['held']}, {held['of_others']} of others in {held['bytes_of_others']} bytes")


def _step(line: Mapping[str, Any]) -> str:
    """`0.012 s  hop 1  12D3...   7 bits  answered in 3.1 ms`."""
    time = f"{line['at_ms'] / 1000:8.3f} s"
    if line["type"] == "ended":
        return f"{time}  ended: {line['reason']}"
    shared = f"{line['prefix_length']:>3} bits"
    return f"{time}  hop {line['hop']}  {_clean(line['peer'])}  {shared}  {_clean(_what(line))}"


def _what(line: Mapping[str, Any]) -> str:
    match line["type"]:
        case "asked":
            return "asked, " + ("known" if line["named_by"] is None else f"named by {line['named_by']}")
        case "answered":
            late = " late" if line["late"] else ""
            return f"answered in {line['rtt_ms']:.1f} ms{late}, named {line['named']}, {line['new']} new"
        case "failed":
            return f"failed: {line['cause']}"
    return str(line["type"])


def _clean(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)
