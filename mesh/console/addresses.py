"""Addresses as typed: parsed early, so that a slip is a usage error with its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import ConfigError, DecodeError, UsageError

if TYPE_CHECKING:
    from mesh.config import Loaded
    from mesh.identity.peer_id import PeerId
    from mesh.multiformats.multiaddr import Multiaddr

ADDRESS_KEYS = ("network.listen", "network.bootstrap", "agent.rendezvous")


def parse_address(text: str, where: str) -> Multiaddr:
    """The address, or a `UsageError` that names the place, the text and the position in it."""
    from mesh.multiformats.multiaddr import Multiaddr

    try:
        return Multiaddr.parse(text)
    except DecodeError as error:
        position = "" if error.offset is None else f" at position {error.offset}"
        raise UsageError(f"{where}: {text!r} is not a multiaddr{position}: {error.reason}") from None


def parse_peer(text: str, where: str) -> PeerId:
    """The peer id, or a `UsageError` that names the place and the text."""
    from mesh.identity.peer_id import PeerId

    try:
        return PeerId.parse(text)
    except DecodeError as error:
        raise UsageError(f"{where}: {text!r} is not a peer id: {error.reason}") from None


def parse_target(text: str) -> Multiaddr:
    """An address that can be dialled."""
    address = parse_address(text, "ADDR")
    if not (address.has("tcp") or address.has("quic-v1")):
        raise UsageError(f"ADDR: {text!r} has neither /tcp nor /quic-v1, the transports that can be dialled")
    return address


def check_addresses(loaded: Loaded) -> None:
    """Every configured address parses; whose fault it is follows from where the value came from."""
    from mesh.config import value_of

    for key in ADDRESS_KEYS:
        origin = loaded.origins[key]
        where = str(origin) if origin.layer == "flag" else f"{origin}: {key}"
        for text in value_of(loaded.config, key):
            try:
                parse_address(text, where)
            except UsageError as error:
                if origin.layer == "flag":
                    raise
                raise ConfigError(str(error)) from None
