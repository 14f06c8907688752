"""What score settings must fulfil: go-libp2p-pubsub's rules, and none that would refuse what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from math import isfinite

from mesh.errors import UsageError
from mesh.protocols.gossip.settings import ScoreSettings, Thresholds, TopicScoreSettings

_Bound = tuple[str, Callable[[float], bool]]

_FINITE: _Bound = ("a number", isfinite)
_AT_LEAST_0: _Bound = ("at least 0", lambda value: isfinite(value) and value >= 0)
_AT_MOST_0: _Bound = ("at most 0", lambda value: isfinite(value) and value <= 0)
_AT_LEAST_1: _Bound = ("at least 1", lambda value: isfinite(value) and value >= 1)
_ABOVE_0: _Bound = ("above 0", lambda value: isfinite(value) and value > 0)
_SHARE: _Bound = ("between 0 and 1", lambda value: 0 < value < 1)
_FACTOR: _Bound = ("from 0 to 1", lambda value: 0 <= value <= 1)

_Rule = tuple[str, _Bound, str]
"""A field, what it must be, and the weight that must not be 0 for this to matter ("" for always)."""

_TOPIC: Sequence[_Rule] = (
    ("weight", _AT_LEAST_0, ""),
    ("time_in_mesh_weight", _AT_LEAST_0, ""),
    ("time_in_mesh_quantum_s", _ABOVE_0, ""),
    ("time_in_mesh_cap", _ABOVE_0, "time_in_mesh_weight"),
    ("first_deliveries_weight", _AT_LEAST_0, ""),
    ("first_deliveries_decay", _FACTOR, ""),
    ("first_deliveries_decay", _SHARE, "first_deliveries_weight"),
    ("first_deliveries_cap", _ABOVE_0, "first_deliveries_weight"),
    ("mesh_deliveries_weight", _AT_MOST_0, ""),
    ("mesh_deliveries_decay", _FACTOR, ""),
    ("mesh_deliveries_decay", _SHARE, "mesh_deliveries_weight"),
    ("mesh_deliveries_cap", _ABOVE_0, "mesh_deliveries_weight"),
    ("mesh_deliveries_threshold", _ABOVE_0, "mesh_deliveries_weight"),
    ("mesh_deliveries_window_s", _AT_LEAST_0, ""),
    ("mesh_deliveries_activation_s", _AT_LEAST_1, "mesh_deliveries_weight"),
    ("mesh_failure_weight", _AT_MOST_0, ""),
    ("mesh_failure_decay", _FACTOR, ""),
    ("mesh_failure_decay", _SHARE, "mesh_failure_weight"),
    ("invalid_weight", _AT_MOST_0, ""),
    ("invalid_decay", _SHARE, ""),
)

_OVERALL: Sequence[_Rule] = (
    ("topic_cap", _AT_LEAST_0, ""),
    ("application_weight", _FINITE, ""),
    ("ip_colocation_weight", _AT_MOST_0, ""),
    ("ip_colocation_threshold", _AT_LEAST_1, "ip_colocation_weight"),
    ("behaviour_weight", _AT_MOST_0, ""),
    ("behaviour_threshold", _AT_LEAST_0, ""),
    ("behaviour_decay", _FACTOR, ""),
    ("behaviour_decay", _SHARE, "behaviour_weight"),
    ("decay_interval_s", _AT_LEAST_1, ""),
    ("decay_to_zero", _SHARE, ""),
    ("retain_s", _AT_LEAST_0, ""),
    ("max_retained", _AT_LEAST_0, ""),
)

_THRESHOLDS: Sequence[_Rule] = (
    ("gossip", _AT_MOST_0, ""),
    ("publish", _AT_MOST_0, ""),
    ("graylist", _AT_MOST_0, ""),
    ("accept_exchange", _AT_LEAST_0, ""),
    ("opportunistic_graft", _AT_LEAST_0, ""),
)

_NOT_ABOVE = (("publish", "gossip"), ("graylist", "publish"))


def check_settings(settings: ScoreSettings) -> None:
    """Raises UsageError naming the first field that cannot be."""
    for topic, rules in settings.topics.items():
        check_topic(topic, rules)
    _check(settings, _OVERALL, "")
    for network in settings.ip_colocation_whitelist:
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise UsageError(f"ip_colocation_whitelist: {network!r} is not a network") from None


def check_topic(topic: str, settings: TopicScoreSettings) -> None:
    """Raises UsageError naming the topic and the first field that cannot be."""
    _check(settings, _TOPIC, f"topic {topic!r}: ")


def check_thresholds(thresholds: Thresholds) -> None:
    """Raises UsageError naming the first field that cannot be; the lower three must not be out of order."""
    _check(thresholds, _THRESHOLDS, "")
    for lower, upper in _NOT_ABOVE:
        if getattr(thresholds, lower) > getattr(thresholds, upper):
            raise UsageError(f"{lower} is {getattr(thresholds, lower):g}: must not be above {upper}")


def _check(
    settings: ScoreSettings | TopicScoreSettings | Thresholds, rules: Sequence[_Rule], place: str
) -> None:
    for name, (wanted, holds), weight in rules:
        if weight and not getattr(settings, weight):
            continue
        value: float = getattr(settings, name)
        if not holds(value):
            raise UsageError(f"{place}{name} is {value:g}: must be {wanted}")
