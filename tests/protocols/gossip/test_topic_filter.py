"""Topics a node takes no notice of: not joined, not published to, not remembered of others."""

from __future__ import annotations

import pytest

from mesh.codecs.gossip import Rpc, Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip import Router, RouterSettings, Version
from mesh.protocols.gossip.topic_filter import topic_filter


@pytest.mark.parametrize(
    ("patterns", "topic", "admitted"),
    [
        (["news"], "news", True),
        (["news"], "news2", False),
        (["news/*"], "news/", True),
        (["news/*"], "news/a/b", True),
        (["news/*"], "old/news/a", False),
        (["a*b"], "a\nb", True),
        (["a.c"], "abc", False),
        (["[x]"], "x", False),
        (["one", "two"], "two", True),
        (["*"], "", True),
    ],
)
def test_patterns(patterns: list[str], topic: str, admitted: bool) -> None:
    admits = topic_filter(patterns)
    assert admits is not None
    assert admits(topic) is admitted


def test_no_patterns_are_no_filter() -> None:
    assert topic_filter(()) is None


class Midpoint:
    """Randomness that does not matter here."""

    def random(self) -> float:
        return 0.5


def test_a_router_takes_no_notice_of_others() -> None:
    router: Router[int] = Router(0, RouterSettings(), Midpoint(), 0.0, admits=topic_filter(["good*"]))
    router.connect(1, Version.V1_2, True, 0.0)
    said = [Subscription(True, name) for name in ("good", "bad", "good/2", "worse")]
    router.receive(1, Rpc(subscriptions=said), 0.1)
    assert router.peers("good") == [1]
    assert router.peers("bad") == []
    assert router.counts["subscriptions_filtered"] == 2
    router.join("good", 0.2)
    with pytest.raises(UsageError, match="does not admit 'bad'"):
        router.join("bad", 0.2)
    with pytest.raises(UsageError, match="does not admit"):
        router.publish("bad", b"id", b"wire", 0.2)
