"""Names of peers and of bundles (sections 11.5 and 12.3)."""

from __future__ import annotations

import re
from typing import Final

from mesh.errors import Malformed

MAX_NAME_BYTES: Final = 64

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _-]*[A-Za-z0-9])?")


def check_peer_name(name: str) -> None:
    """Raises Malformed for a name that Go refuses; the empty name is one."""
    if not name:
        return
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise Malformed("name", None, "peer name too long")
    if _NAME.fullmatch(name) is None:
        raise Malformed(
            "name",
            None,
            "peer name contains invalid characters (use alphanumeric, hyphens, underscores, spaces)",
        )


def check_bundle_name(name: str) -> None:
    """Raises Malformed for a name that may not become a folder. Go checks nothing here and writes outside."""
    if not name:
        raise Malformed("Deploy.name", None, "a bundle wants a name")
    if len(name) > MAX_NAME_BYTES or _NAME.fullmatch(name) is None:
        raise Malformed(
            "Deploy.name",
            None,
            f"{name[:64]!r} may not name a folder: up to {MAX_NAME_BYTES} letters, digits, hyphens, underscores, "
            "spaces, with a letter or digit at either end",
        )
