"""Which addresses others are told: those found, shaped by the settings `network.announce` and its like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from mesh.errors import ConfigError, DecodeError
from mesh.multiformats.multiaddr import Multiaddr

Network = IPv4Network | IPv6Network


class Announcing:
    """``announce`` takes the place of what is found, ``append`` stands beside it, ``never`` wins over both. Raises
    `ConfigError` for what is no address, network or rule."""

    __slots__ = ("_announce", "_append", "_beginnings", "_networks")

    def __init__(self, announce: Iterable[str], append: Iterable[str], never: Iterable[str]) -> None:
        self._announce = [_address("network.announce", text) for text in announce]
        self._append = [_address("network.append_announce", text) for text in append]
        self._beginnings: list[Multiaddr] = []
        self._networks: list[Network] = []
        for text in never:
            if text.startswith("/"):
                self._beginnings.append(_address("network.no_announce", text))
            else:
                self._networks.append(_network(text))

    @property
    def configured(self) -> list[Multiaddr]:
        """What the settings name."""
        return [*self._announce, *self._append]

    def shape(self, found: Callable[[], Iterable[Multiaddr]]) -> list[Multiaddr]:
        """The addresses to tell, each once; ``found`` is asked only when nothing takes its place."""
        addresses = dict.fromkeys([*(self._announce or found()), *self._append])
        if not self._beginnings and not self._networks:
            return list(addresses)
        return [each for each in addresses if not self._is_barred(each)]

    def _is_barred(self, address: Multiaddr) -> bool:
        if any(address.components[: len(each.components)] == each.components for each in self._beginnings):
            return True
        host = address.value("ip4") or address.value("ip6")
        if host is None or not self._networks:
            return False
        numeric = ip_address(host)
        return any(numeric in each for each in self._networks)


def _address(key: str, text: str) -> Multiaddr:
    try:
        return Multiaddr.parse(text).without_peer()
    except DecodeError as error:
        raise ConfigError(f"{key}: {text!r} is no address: {error}") from None


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(
            f"network.no_announce: {text!r} is neither a multiaddr nor an IP address nor a network like 10.0.0.0/8"
        ) from None
