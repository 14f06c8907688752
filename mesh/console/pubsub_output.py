"""What the pubsub verbs print: words from the same objects that `--json` prints as they are."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mesh.console.output import say, say_json, warn

RATE_S: Final = 1.0
RATES: Final = ("published", "delivered", "duplicates", "forwarded", "dropped_full")
"""Those of the counts that a line of rates has room for."""


class Sent:
    """Messages that were published: each as an object, or all together in words."""

    def __init__(self, topic: str, as_json: bool) -> None:
        self._topic = topic
        self._as_json = as_json
        self.count = 0
        self.fewest: int | None = None
        """How many peers the message got that fewest got."""

    def add(self, line: Mapping[str, Any]) -> None:
        """One was sent."""
        peers = line["peers"]
        self.count += 1
        self.fewest = peers if self.fewest is None else min(self.fewest, peers)
        if self._as_json:
            say_json({"topic": self._topic, "peers": peers, "size": line["size"]})

    def summarize(self) -> None:
        """Say how many got them."""
        if self._as_json:
            return
        if self.count == 1:
            say(f"sent to {_peers(self.fewest or 0)}")
        elif self.fewest is None:
            say("no messages")
        else:
            say(f"{self.count} messages sent, each to {_peers(self.fewest)} at least")

    @property
    def reached(self) -> bool:
        """Whether each of them was sent to somebody."""
        return self.fewest != 0


class Arrivals:
    """Messages of a topic as they come; `show` answers whether there may be more of them."""

    def __init__(self, as_json: bool, count: int) -> None:
        self._as_json = as_json
        self._count = count
        self.messages = 0
        self.bytes = 0

    def show(self, line: Mapping[str, Any]) -> bool:
        """Take the next object of the stream."""
        kind = line["type"]
        if self._as_json and kind != "idle":
            say_json(line)
        elif kind == "subscribed":
            print(f"subscribed to {_clean(line['topic'])}", file=sys.stderr, flush=True)
        elif kind == "lost":
            warn(f"{line['messages']} messages were missed: they came faster than they are read")
        elif kind == "message":
            say(_clean(base64.b64decode(line["data"]).decode(errors="replace")))
        if kind != "message":
            return True
        self.messages += 1
        self.bytes += line["size"]
        return self.messages != self._count


class LiveRate:
    """A line a second on stderr: how much came. For a ``with``."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="rate", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        messages = size = 0
        while not self._ended.wait(RATE_S):
            now_messages, now_bytes = self._arrivals.messages, self._arrivals.bytes
            rate, speed = (now_messages - messages) / RATE_S, (now_bytes - size) / RATE_S
            messages, size = now_messages, now_bytes
            line = f"{rate:.0f} messages/s, {speed / 1024:.1f} KiB/s, {messages} in all"
            print(line, file=sys.stderr, flush=True)


def say_topics(topics: Iterable[Mapping[str, Any]]) -> None:
    """A line for each topic."""
    for each in topics:
        here = f"{each['readers']} readers here"
        say(f"{_clean(each['topic'])}  {_peers(each['peers'])}, {each['mesh']} in the mesh, {here}")


def say_meshes(meshes: Iterable[Mapping[str, Any]]) -> None:
    """A line for each neighbour in each topic."""
    for each in meshes:
        for peer in each["peers"]:
            say(f"{_clean(each['topic'])}  {_clean(peer)}")


def say_scores(peers: Iterable[Mapping[str, Any]]) -> None:
    """A line for each peer, and one below it for each topic, with the parts P1 to P7."""
    for each in peers:
        say(
            f"{_clean(each['peer'])}  score {each['score']:.3f}  topics {each['topics_score']:.3f}  "
            f"P5 {each['application_score']:.3f}  P6 {each['ip_colocation_score']:.3f}  "
            f"P7 {each['behaviour_score']:.3f}"
        )
        for topic in each["topics"]:
            place = "in mesh" if topic["in_mesh"] else "not in mesh"
            say(
                f"  {_clean(topic['topic'])}  {place}  score {topic['score']:.3f}  P1 {topic['time_in_mesh_s']:.1f} s  "
                f"P2 {topic['first_deliveries']:.2f}  P3 {topic['mesh_deliveries']:.2f}"
                f"{'' if topic['mesh_deliveries_active'] else ' (not counted yet)'}  "
                f"P3b {topic['mesh_failure']:.2f}  P4 {topic['invalid']:.2f}"
            )


def say_stats(stats: Mapping[str, Any]) -> None:
    """A line for each figure."""
    for name in ("topics", "peers", "mesh_peers"):
        say(f"{name.replace('_', ' ')}: {stats[name]}")
    for name, value in stats["counts"].items():
        say(f"{name.replace('_', ' ')}: {value}")


def say_rates(line: Mapping[str, Any]) -> None:
    """What happened in one interval, a second."""
    rates = "  ".join(f"{name.replace('_', ' ')} {line['per_s'][name]:.1f}/s" for name in RATES)
    say(f"{rates}  {_peers(line['peers'])}, {line['mesh_peers']} in meshes")


def _peers(count: int) -> str:
    return f"{count} peer" if count == 1 else f"{count} peers"


def _clean(text: str) -> str:
    from mesh.telemetry.log import printable

    return printable(text)
