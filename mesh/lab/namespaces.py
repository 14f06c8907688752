"""Network namespaces by name: making and removing them, running commands inside, and the proof that they lead nowhere.

All names begin with a prefix and the number of the process that made them, so that two laboratories never meet, and
leftovers of a process that is gone can be told from one that is alive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from mesh.errors import MeshError

PREFIX: Final = "meshlab"
COMMAND_S: Final = 30.0
_NAME: Final = re.compile(rf"{PREFIX}(\d+)-[\w]+")
_FOLDER: Final = Path("/run/netns")
_INNER_KINDS: Final = frozenset(("veth", "bridge", "tun"))


class LabError(MeshError):
    """The laboratory could not be built, or a command in it failed; the message has what the system said."""

    code = "lab"


def run(*command: str, text: str = "") -> str:
    """The output of a command that ends well. Raises `LabError`."""
    if shutil.which(command[0]) is None:
        raise LabError(f"{command[0]} is not installed (Debian: iproute2, nftables)")
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"status {done.returncode}"
        raise LabError(f"{' '.join(command[:8])}: {said}")
    return done.stdout


def inside(namespace: str, *command: str) -> list[str]:
    """The command line that runs ``command`` in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


def add(namespace: str) -> None:
    """Make one. Raises `LabError`."""
    run("ip", "netns", "add", namespace)


def remove(namespace: str) -> None:
    """Remove one; processes in it keep it alive until they end. Raises `LabError`."""
    run("ip", "netns", "del", namespace)


def load_rules(namespace: str, rules: str) -> None:
    """Replace the nftables rules of a namespace. Raises `LabError` with the line that nft did not take."""
    run(*inside(namespace, "nft", "-f", "-"), text=f"flush ruleset\n{rules}")


def batch(namespace: str, lines: Iterable[str]) -> None:
    """Run lines of `ip` commands inside a namespace. Raises `LabError`."""
    run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")


def named_ours() -> list[str]:
    """All namespaces with our prefix, whoever made them."""
    return (
        sorted(each.name for each in _FOLDER.iterdir() if _NAME.fullmatch(each.name))
        if _FOLDER.exists()
        else []
    )


def named_own() -> list[str]:
    """Those of this process."""
    return [each for each in named_ours() if owner_of(each) == os.getpid()]


def owner_of(namespace: str) -> int:
    """The number of the process that made it."""
    found = _NAME.fullmatch(namespace)
    assert found is not None
    return int(found[1])


def sweep() -> list[str]:
    """Remove leftovers of processes that are gone; returns their names. Raises `LabError`."""
    dead = [each for each in named_ours() if not is_alive(owner_of(each))]
    for each in dead:
        try:
            remove(each)
        except LabError:
            if each in named_ours():  # else another laboratory was faster
                raise
    return dead


def is_alive(pid: int) -> bool:
    """Whether a process with that number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def prove_isolated(namespaces: Sequence[str]) -> None:
    """Show that every link of these namespaces ends in one of them. Raises `LabError` naming the first that does not.

    A link may be loopback, a bridge, a TUN device (its other side is the process that delays packets), or a veth whose
    peer is in the same namespace or in another of these.
    """
    for namespace in namespaces:
        links = _json("ip", "-n", namespace, "-j", "-d", "link", "show")
        # Asked after the links: the system gives a peer's namespace its number when it lists the link.
        numbered = _json("ip", "-n", namespace, "-j", "netns", "list-id")
        known = {each["nsid"]: each.get("name", "") for each in numbered}
        for link in links:
            name = link["ifname"]
            if link.get("link_type") == "loopback":
                continue
            kind = link.get("linkinfo", {}).get("info_kind", "a device of the machine")
            if kind not in _INNER_KINDS:
                raise LabError(f"{namespace}: {name} is {kind}, which may lead out; not started")
            peer = link.get("link_netnsid")
            if peer is not None and known.get(peer) not in namespaces:
                where = known.get(peer) or "a namespace without a name, such as the machine's own"
                raise LabError(f"{namespace}: {name} is linked to {where}; not started")


def _json(*command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*command) or "[]")
    return found
