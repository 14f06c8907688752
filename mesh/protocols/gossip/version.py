"""Protocol ids, best first, and what a peer of each may be sent."""

from __future__ import annotations

from enum import IntEnum


class Version(IntEnum):
    """What a peer speaks; a later one includes the earlier."""

    FLOODSUB = 0
    V1_0 = 10
    V1_1 = 11
    V1_2 = 12
    V1_3 = 13

    @property
    def meshes(self) -> bool:
        """Whether it knows GRAFT, PRUNE, IHAVE and IWANT."""
        return self >= Version.V1_0

    @property
    def exchanges(self) -> bool:
        """Whether PRUNE carries peers and a backoff."""
        return self >= Version.V1_1

    @property
    def declines(self) -> bool:
        """Whether it knows IDONTWANT."""
        return self >= Version.V1_2

    @property
    def extends(self) -> bool:
        """Whether its first RPC says which extensions it has."""
        return self >= Version.V1_3


PROTOCOLS: dict[str, Version] = {
    "/meshsub/1.3.0": Version.V1_3,
    "/meshsub/1.2.0": Version.V1_2,
    "/meshsub/1.1.0": Version.V1_1,
    "/meshsub/1.0.0": Version.V1_0,
    "/floodsub/1.0.0": Version.FLOODSUB,
}
