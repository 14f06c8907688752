"""Which node got which message when, over how many hops."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

MAX_HOPS = 254


class Course:
    """One message. A node's entry in `hops` is the number of its hops and 1, and 0 before it has the message."""

    __slots__ = ("after_ms", "audience", "author", "hops", "published_ms")

    def __init__(self, author: int, published_ms: int, nodes: int, audience: bytes) -> None:
        self.author = author
        self.published_ms = published_ms
        self.audience = audience
        """1 for each node that is there to get it."""
        self.hops = bytearray(nodes)
        self.hops[author] = 1
        self.after_ms = array("l", bytes(array("l").itemsize * nodes))


class Tally:
    """All messages of a run, by number."""

    def __init__(self, nodes: int) -> None:
        self.courses: list[Course] = []
        self._nodes = nodes

    def published(self, author: int, now_ms: int, audience: bytes) -> int:
        """A new message; returns its number."""
        self.courses.append(Course(author, now_ms, self._nodes, audience))
        return len(self.courses) - 1

    def arrived(self, number: int, node: int, source: int, now_ms: int) -> None:
        """A node has its first copy, from one that had the message before."""
        course = self.courses[number]
        course.hops[node] = min(course.hops[source] + 1, MAX_HOPS + 1)
        course.after_ms[node] = now_ms - course.published_ms

    def reached(self, course: Course, nodes: Iterable[int]) -> tuple[int, int]:
        """Of these nodes without the author, how many have the message, and how many should."""
        got = wanted = 0
        hops, audience, author = course.hops, course.audience, course.author
        for node in nodes:
            if audience[node] and node != author:
                wanted += 1
                if hops[node]:
                    got += 1
        return got, wanted
