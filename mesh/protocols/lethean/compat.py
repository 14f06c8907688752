"""Where ours is stricter than Go, as switches (the words SAFE of the specification).

`SAFE` is the default. `COMPAT` gives Go's verdicts. Checks of paths, sizes and of input that crashes Go are no switches:
they hold in both. `tests/vectors/lethean_differences.json` lists every recorded case in which the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.protocols.lethean.decompression import require_zstd


@dataclass(frozen=True, slots=True)
class Strictness:
    """What is demanded beyond what Go demands.

    ``id_follows_key``: a claimed id is the one of the claimed key. ``key_is_known``: a registered peer has the key
    it is registered with. ``id_is_expected``: who answers a dial has the id that was dialled. ``no_reflection``: messages
    from ourselves are dropped. ``same_connection``: an answer comes from where the request went. ``one_connection``: a
    peer has one connection. ``proof_first``: a peer is registered and served only when a message of its own decrypted.
    ``real_profile``: the placeholder that Go puts into bundles without a profile is none. ``fresh_scores``: selection
    goes by the scores that are, not by those that were when a peer was last added, changed or measured.
    """

    id_follows_key: bool = True
    key_is_known: bool = True
    id_is_expected: bool = True
    no_reflection: bool = True
    same_connection: bool = True
    one_connection: bool = True
    proof_first: bool = True
    real_profile: bool = True
    fresh_scores: bool = True


SAFE: Final = Strictness()
COMPAT: Final = Strictness(*[False] * 9)


def strictness(compat: bool) -> Strictness:
    """The switches for the setting `lethean.compat`. Raises UsageError without a package that Go's verdicts want."""
    if not compat:
        return SAFE
    require_zstd()
    return COMPAT
