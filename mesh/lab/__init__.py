"""A laboratory of NATs: network namespaces with real Linux NATs between them, for programs of any origin.

Nothing here knows the node. A `Lab` is built, a command is run in one of its places, and it is gone again. It needs
Linux, its administrator's rights, `ip` (iproute2) and `nft` (nftables); `abilities` finds out by doing what is there.
"""

from mesh.lab.abilities import REQUIRE, missing_ability
from mesh.lab.kinds import KINDS, Kind, kind_named
from mesh.lab.topology import Lab, SitePlan

__all__ = ["KINDS", "REQUIRE", "Kind", "Lab", "SitePlan", "kind_named", "missing_ability"]
