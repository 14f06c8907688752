"""Who may ask for what."""

from __future__ import annotations

import pytest

from mesh.apps.lethean.permissions import EXECUTE, VERBS, Permissions
from mesh.errors import ConfigError

ALICE = "2a49bc4a14e72ca66ec45cdb9a5e09da"
BOB = "f35e5616160a30bf3c6e79fa73c576d4"


def test_a_rule_permits_its_peer_its_verbs_and_nothing_else() -> None:
    permissions = Permissions([f"{ALICE}=start+stop"])
    assert [verb for verb in VERBS if permissions.permits(ALICE, verb)] == ["start", "stop"]
    assert not any(permissions.permits(BOB, verb) for verb in VERBS)


def test_rules_for_everyone_and_for_one_add_up() -> None:
    permissions = Permissions(["*=ping+stats", f"{ALICE}=deploy", f"{ALICE}=logs"])
    assert [verb for verb in VERBS if permissions.permits(ALICE, verb)] == ["ping", "stats", "logs", "deploy"]
    assert [verb for verb in VERBS if permissions.permits(BOB, verb)] == ["ping", "stats"]


def test_all_is_every_verb_but_execute() -> None:
    permissions = Permissions([f"{ALICE}=all"])
    assert all(permissions.permits(ALICE, verb) for verb in VERBS)
    assert not permissions.permits(ALICE, EXECUTE)
    assert Permissions([f"{ALICE}=all+execute"]).permits(ALICE, EXECUTE)


def test_switched_off_everything_is_permitted_but_execute() -> None:
    permissions = Permissions(enforced=False)
    assert all(permissions.permits(BOB, verb) for verb in VERBS)
    assert not permissions.permits(BOB, EXECUTE)


@pytest.mark.parametrize(
    "rule", ["", "alice=start", f"{ALICE}", f"{ALICE}=", f"{ALICE}=run", "*=execute", f"{ALICE.upper()}=ping"]
)
def test_a_rule_of_another_form_is_refused(rule: str) -> None:
    with pytest.raises(ConfigError, match=r"lethean\.grants"):
        Permissions([rule])
