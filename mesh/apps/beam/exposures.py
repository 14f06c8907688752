"""What this node lets others reach through tunnels, and who may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.codecs.beam import TunnelStatus
from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId


@dataclass(frozen=True, slots=True)
class Exposure:
    """A local TCP port behind a service. ``public``: anybody may; else those of ``allowed`` alone."""

    service_id: str
    host: str
    port: int
    public: bool
    allowed: frozenset[PeerId]

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65_535:
            raise UsageError(f"{self.port} is no port")
        if self.public == bool(self.allowed):
            raise UsageError("say who may reach it: --allow PEER, once for each, or --public for anybody")

    def admits(self, peer: PeerId) -> bool:
        return self.public or peer in self.allowed

    def document(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "port": self.port,
            "public": self.public,
            "allow": sorted(str(each) for each in self.allowed),
        }


def read_exposure(service_id: str, document: Mapping[str, Any]) -> Exposure | None:
    """An exposure as it was kept; None for what is none."""
    try:
        return Exposure(
            service_id,
            str(document["host"]),
            int(document["port"]),
            bool(document["public"]),
            frozenset(PeerId.parse(str(each)) for each in document["allow"]),
        )
    except (KeyError, TypeError, ValueError, DecodeError, UsageError):
        return None


class Exposures:
    """By service id, with the connections under way through each peer's tunnels."""

    def __init__(self, most: int, most_of_peer: int) -> None:
        self._most = most
        self._most_of_peer = most_of_peer
        self._exposed: dict[str, Exposure] = {}
        self._open: Counter[PeerId] = Counter()

    def __iter__(self) -> Iterator[Exposure]:
        return iter(self._exposed.values())

    @property
    def open(self) -> int:
        """Connections through tunnels now."""
        return self._open.total()

    def get(self, service_id: str) -> Exposure | None:
        return self._exposed.get(service_id)

    def put(self, exposure: Exposure) -> None:
        self._exposed[exposure.service_id] = exposure

    def remove(self, service_id: str) -> None:
        self._exposed.pop(service_id, None)

    def refusal(self, service_id: str, opener: PeerId) -> tuple[TunnelStatus, str] | None:
        """Why a peer may not open a tunnel to a service; None when it may."""
        exposure = self._exposed.get(service_id)
        if exposure is None:
            return TunnelStatus.UNKNOWN_SERVICE, "this node offers no such service"
        if not exposure.admits(opener):
            return TunnelStatus.NOT_ALLOWED, f"{opener} is not among those who may"
        if self._open.total() >= self._most or self._open[opener] >= self._most_of_peer:
            return TunnelStatus.BUSY, "too many connections: try again later"
        return None

    def began(self, opener: PeerId) -> None:
        self._open[opener] += 1

    def ended(self, opener: PeerId) -> None:
        self._open[opener] -= 1
        if not self._open[opener]:
            del self._open[opener]
