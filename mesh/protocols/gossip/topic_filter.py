"""Which topics a node takes notice of (go: subscription filters): peers may name any number of others for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

TopicFilter = Callable[[str], bool]
"""Whether a topic may be joined, and is remembered of a peer that is in it."""


def topic_filter(patterns: Sequence[str]) -> TopicFilter | None:
    """Admits names that one of the patterns matches whole; ``*`` stands for any text. None, for all, without patterns."""
    if not patterns:
        return None
    form = re.compile("|".join(".*".join(map(re.escape, each.split("*"))) for each in patterns), re.DOTALL)
    return lambda topic: form.fullmatch(topic) is not None
