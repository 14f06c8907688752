"""The words of port mapping: which port is wanted, what a router said to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANY_HOST: Final = "0.0.0.0"
LONGEST_LEASE_S: Final = 86_400.0
"""A router that grants more is asked again after a day all the same (RFC 6887 section 11.2.1)."""


class Transport(StrEnum):
    """What a mapping carries."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of this machine that is listened on."""

    transport: Transport
    number: int


@dataclass(frozen=True, slots=True)
class Errand:
    """To ask for ``port``, with the outside port that would be liked; ``lease_s`` of 0 gives it back."""

    port: Port
    external_port: int
    lease_s: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The router forwards this outside address for so many seconds; infinite where it keeps it until told otherwise."""

    host: str
    external_port: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The router said no: the protocol's number and name of it. ``again_s`` is how long the router wants to be left
    alone, 0 where it does not say."""

    code: int
    reason: str
    again_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing came."""


Outcome = Granted | Refused | Silent
