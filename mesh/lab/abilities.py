"""What this machine and user can do for a laboratory, found out by doing it."""

from __future__ import annotations

import os
from typing import Final

from mesh.lab import namespaces
from mesh.lab.namespaces import PREFIX, LabError

REQUIRE: Final = "MESH_LAB"
"""The environment variable that, set to `require`, makes what is missing a failure instead of a reason to skip."""
_TRIAL_RULES: Final = (
    "table ip n {\n chain post {\n  type nat hook postrouting priority 100;\n  masquerade\n }\n}\n"
)


def is_required() -> bool:
    """Whether a laboratory has to work here."""
    return os.environ.get(REQUIRE) == "require"


def missing_ability(*, delay: bool = True) -> str:
    """The first thing that cannot be done here and what the system says about it; empty when all can.

    ``delay``: delay lines are wanted, too.
    """
    one, other = (f"{PREFIX}{os.getpid()}-try{each}" for each in (1, 2))
    made: list[str] = []
    step = "namespaces"
    try:
        for each in (one, other):
            namespaces.add(each)
            made.append(each)
        step = "a veth between namespaces"
        namespaces.run(
            *("ip", "link", "add", "t1", "netns", one, "type", "veth", "peer", "name", "t2", "netns", other)
        )
        step = "forwarding"
        namespaces.run(*namespaces.inside(one, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
        step = "nft masquerade"
        namespaces.load_rules(one, _TRIAL_RULES)
    except LabError as error:
        return f"{step} refused: {error}"
    finally:
        for each in made:
            namespaces.remove(each)
    return _missing_tun() if delay else ""


def _missing_tun() -> str:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"delay lines refused: /dev/net/tun: {error.strerror}"
    return ""
