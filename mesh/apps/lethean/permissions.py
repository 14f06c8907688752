"""Which peer may ask for what. A Go node permits everything to everyone; here that takes an explicit switch.

A rule is `PEER=VERB+VERB`: a peer is its node id, or `*` for each that may connect; `all` stands for every verb but
`execute`, which makes deployed files executable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mesh.errors import ConfigError

VERBS: Final = ("ping", "stats", "logs", "start", "stop", "deploy")
EXECUTE: Final = "execute"
VERB_OF_TYPE: Final[Mapping[str, str]] = {
    "ping": "ping",
    "get_stats": "stats",
    "get_logs": "logs",
    "start_miner": "start",
    "stop_miner": "stop",
    "deploy": "deploy",
}
EVERYONE: Final = "*"
_NODE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Permissions:
    """Rules by peer. With ``enforced`` off all verbs are permitted to all; `execute` never is without a rule."""

    __slots__ = ("_rules", "enforced")

    def __init__(self, rules: Iterable[str] = (), *, enforced: bool = True) -> None:
        """Raises `ConfigError`."""
        self.enforced = enforced
        self._rules: dict[str, frozenset[str]] = {}
        for rule in rules:
            fault = shape_of_rule(rule)
            if fault:
                raise ConfigError(f"lethean.grants: {rule!r} {fault}")
            peer, _, verbs = rule.partition("=")
            named = set(verbs.split("+"))
            if "all" in named:
                named = (named - {"all"}) | set(VERBS)
            self._rules[peer] = self._rules.get(peer, frozenset()) | named

    def permits(self, peer: str, verb: str) -> bool:
        """Whether a peer, by its node id, may ask for a verb."""
        if not self.enforced and verb != EXECUTE:
            return True
        return any(verb in self._rules.get(each, ()) for each in (peer, EVERYONE))


def shape_of_rule(rule: str) -> str:
    """What is wrong with the text of a rule, or an empty string."""
    peer, equals, verbs = rule.partition("=")
    if not equals or (peer != EVERYONE and _NODE_ID.fullmatch(peer) is None):
        return "is not PEER=VERB+VERB with a node id of 32 hexadecimal digits or *"
    for verb in verbs.split("+"):
        if verb not in (*VERBS, EXECUTE, "all"):
            return f"names {verb!r}, which is not one of all, {', '.join((*VERBS, EXECUTE))}"
    if peer == EVERYONE and EXECUTE in verbs.split("+"):
        return "permits execute to everyone; name the peers"
    return ""
