"""Settings that cannot be are refused by the name of the field, by go's rules."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.protocols.gossip.score_checks import check_settings, check_thresholds, check_topic
from mesh.protocols.gossip.settings import ScoreSettings, Thresholds, TopicScoreSettings


@pytest.mark.parametrize(
    ("field", "others"),
    [
        *((each, {}) for each in ({"weight": -1.0}, {"weight": nan}, {"time_in_mesh_weight": -1.0})),
        ({"time_in_mesh_quantum_s": 0.0}, {}),
        ({"time_in_mesh_cap": 0.0}, {"time_in_mesh_weight": 1.0}),
        ({"first_deliveries_weight": -1.0}, {}),
        ({"first_deliveries_weight": inf}, {}),
        ({"first_deliveries_decay": 1.0}, {"first_deliveries_weight": 1.0}),
        ({"first_deliveries_decay": 2.0}, {}),
        ({"first_deliveries_cap": 0.0}, {"first_deliveries_weight": 1.0}),
        ({"mesh_deliveries_weight": 1.0}, {}),
        ({"mesh_deliveries_decay": 0.0}, {"mesh_deliveries_weight": -1.0}),
        ({"mesh_deliveries_cap": -1.0}, {"mesh_deliveries_weight": -1.0}),
        ({"mesh_deliveries_threshold": 0.0}, {"mesh_deliveries_weight": -1.0}),
        ({"mesh_deliveries_window_s": -0.1}, {}),
        ({"mesh_deliveries_activation_s": 0.9}, {"mesh_deliveries_weight": -1.0}),
        ({"mesh_failure_weight": 1.0}, {}),
        ({"mesh_failure_decay": 1.0}, {"mesh_failure_weight": -1.0}),
        ({"invalid_weight": 1.0}, {}),
        ({"invalid_decay": 0.0}, {}),
    ],
)
def test_topics(field: dict[str, Any], others: dict[str, Any]) -> None:
    good = replace(TopicScoreSettings(), **others)
    check_topic("news", good)
    (name,) = field
    with pytest.raises(UsageError, match=f"topic 'news': {name} is"):
        check_settings(ScoreSettings(topics={"news": replace(good, **field)}))


@pytest.mark.parametrize(
    ("field", "others"),
    [
        ({"topic_cap": -1.0}, {}),
        ({"application_weight": inf}, {}),
        ({"ip_colocation_weight": 0.1}, {}),
        ({"ip_colocation_threshold": 0}, {"ip_colocation_weight": -1.0}),
        ({"ip_colocation_whitelist": ("10.0.0.0/33",)}, {}),
        ({"behaviour_weight": 1.0}, {}),
        ({"behaviour_threshold": -1.0}, {}),
        ({"behaviour_decay": 1.0}, {"behaviour_weight": -1.0}),
        ({"decay_interval_s": 0.5}, {}),
        ({"decay_to_zero": 0.0}, {}),
        ({"decay_to_zero": 1.0}, {}),
        ({"retain_s": -1.0}, {}),
        ({"max_retained": -1}, {}),
    ],
)
def test_overall(field: dict[str, Any], others: dict[str, Any]) -> None:
    good = replace(ScoreSettings(), **others)
    check_settings(good)
    (name,) = field
    with pytest.raises(UsageError, match=name):
        check_settings(replace(good, **field))


def test_a_weight_of_zero_turns_its_rules_off() -> None:
    """As go takes a part left out; a decay there must only be one that cannot overflow."""
    check_topic(
        "news",
        TopicScoreSettings(
            time_in_mesh_cap=0.0,
            first_deliveries_decay=0.0,
            first_deliveries_cap=0.0,
            mesh_deliveries_decay=0.0,
            mesh_deliveries_cap=0.0,
            mesh_deliveries_threshold=0.0,
            mesh_deliveries_activation_s=0.0,
            mesh_failure_decay=0.0,
        ),
    )
    check_settings(ScoreSettings(behaviour_decay=0.0, ip_colocation_threshold=0))


@pytest.mark.parametrize(
    ("field", "thresholds"),
    [
        ("gossip", Thresholds(gossip=1.0)),
        ("publish", Thresholds(publish=1.0)),
        ("publish", Thresholds(gossip=-10.0, publish=-5.0)),
        ("graylist", Thresholds(gossip=-10.0, publish=-20.0, graylist=-15.0)),
        ("graylist", Thresholds(graylist=nan)),
        ("accept_exchange", Thresholds(accept_exchange=-1.0)),
        ("opportunistic_graft", Thresholds(opportunistic_graft=-1.0)),
    ],
)
def test_thresholds(field: str, thresholds: Thresholds) -> None:
    check_thresholds(Thresholds(-10.0, -20.0, -30.0, 5.0, 1.0))
    with pytest.raises(UsageError, match=f"^{field} is"):
        check_thresholds(thresholds)
