"""Whom this node has to do with: rules that deny and allow peers, addresses and networks.

A rule is a peer id (or `/p2p/<id>`), an IP address, a network in CIDR form (or `/ip4/<ip>/ipcidr/<bits>`), or `*` for
every peer. Each is either denied or allowed, whatever was said last; of several rules that match the narrowest decides,
so that `deny 10.0.0.0/8` and `allow 10.1.0.0/16` go together, as do `deny *` and `allow <peer>`. Peers and addresses
are judged apart, and both have to pass; no rule is a pass.

Five hooks ask, in the order in which a connection comes about: peer dial, address dial, accept, secured, upgraded
(libp2p digest, section 23).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from mesh.config.document import write_atomically
from mesh.errors import DecodeError, NetworkError, StorageError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6, IP6ZONE

MAX_RULES: Final = 65_536
MAX_REASON: Final = 256
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
EVERY_PEER: Final = "*"
_FORMAT: Final = 1

Network = IPv4Network | IPv6Network
Subject = PeerId | Network | str


class Denied(NetworkError):  # noqa: N818 - a decision, as the hooks name it
    """A rule of this node forbids the peer or address; ``rule`` is its text, ``hook`` who asked."""

    code = "denied"

    def __init__(self, hook: str, subject: str, rule: str) -> None:
        super().__init__(f"{hook}: {subject} is denied by the rule: deny {rule}")
        self.hook = hook
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict about a peer id, a network, or `*`. ``text`` is what it is written as, ``reason`` why it was made."""

    text: str
    allowed: bool
    reason: str = ""

    def __str__(self) -> str:
        return f"{'allow' if self.allowed else 'deny'} {self.text}"


class Gater:
    """Keeps the rules, in memory or in the file ``path`` too, and answers the hooks.

    Raises `StorageError` for a file that cannot be read or is damaged: a node must not start without its rules.
    """

    __slots__ = ("_networks", "_path", "_peers", "_reasons", "_verdicts")

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._verdicts: dict[Subject, bool] = {}
        self._peers: dict[PeerId, bool] = {}
        self._networks: dict[tuple[int, int], dict[int, bool]] = {}
        self._reasons: dict[Subject, str] = {}
        if path is not None:
            verdicts, self._reasons = _read(path)
            self._set(verdicts)

    # -- rules -------------------------------------------------------------------------------------------------------

    def deny(self, rule_text: str, reason: str = "") -> None:
        """Deny a peer, address or network from now on; connections that exist are the caller's to close. ``reason`` has
        at most `MAX_REASON` characters.

        Raises `UsageError` for text that is no rule and `StorageError` when the file cannot be written; nothing has
        changed then. Writes the file before it returns.
        """
        if len(reason) > MAX_REASON:
            raise UsageError(f"a reason of {len(reason)} characters; at most {MAX_REASON}")
        self._rule(rule_text, False, reason)

    def allow(self, rule_text: str) -> None:
        """Allow a peer, address or network, against wider rules that deny it. Raises like `deny`."""
        self._rule(rule_text, True)

    def drop(self, rule_text: str) -> bool:
        """Take back what was said of exactly this subject; False when there was nothing. Raises like `deny`."""
        subject = _parse(rule_text)
        if subject not in self._verdicts:
            return False
        verdicts = {each: verdict for each, verdict in self._verdicts.items() if each != subject}
        self._change(verdicts, self._reasons)
        return True

    def rules(self) -> list[Rule]:
        """All rules, in the order in which they were made."""
        return [
            Rule(str(subject), allowed, self._reasons.get(subject, ""))
            for subject, allowed in self._verdicts.items()
        ]

    # -- hooks -------------------------------------------------------------------------------------------------------

    def check_peer_dial(self, peer: PeerId) -> None:
        """Before any address of a peer is looked up. Raises `Denied`."""
        self._check("peer dial", peer, None)

    def check_address_dial(self, peer: PeerId | None, address: Multiaddr) -> None:
        """Before one address is dialled, names resolved; ``peer`` None is whoever answers. Raises `Denied`."""
        self._check("address dial", peer, address)

    def check_accept(self, remote: Multiaddr) -> None:
        """A transport connection came in; nothing has been read. Raises `Denied`."""
        self._check("accept", None, remote)

    def check_secured(self, peer: PeerId, remote: Multiaddr) -> None:
        """The peer has proved who it is. Raises `Denied`."""
        self._check("secured", peer, remote)

    def check_upgraded(self, peer: PeerId, remote: Multiaddr) -> None:
        """The connection is complete; rules may have changed during its handshake. Raises `Denied`."""
        self._check("upgraded", peer, remote)

    def refusal(self, peer: PeerId | None, address: Multiaddr | None) -> Rule | None:
        """The rule that denies this peer at this address, or None; for connections that exist."""
        if not self._verdicts:
            return None
        if peer is not None and not self._peers.get(peer, self._verdicts.get(EVERY_PEER, True)):
            return Rule(str(peer) if peer in self._peers else EVERY_PEER, False)
        return self._network_refusal(address) if address is not None and self._networks else None

    # -- within ------------------------------------------------------------------------------------------------------

    def _check(self, hook: str, peer: PeerId | None, address: Multiaddr | None) -> None:
        rule = self.refusal(peer, address)
        if rule is not None:
            by_peer = rule.text == EVERY_PEER or rule.text == str(peer)
            raise Denied(hook, str(peer) if by_peer else str(address), rule.text)

    def _network_refusal(self, address: Multiaddr) -> Rule | None:
        host = _host(address)
        if host is None:
            return None
        bits, number = host
        for (width, length), networks in self._networks.items():
            if width == bits:
                allowed = networks.get(number >> (bits - length))
                if allowed is not None:
                    return None if allowed else Rule(_network_text(bits, number, length), False)
        return None

    def _rule(self, rule_text: str, allowed: bool, reason: str = "") -> None:
        subject = _parse(rule_text)
        verdicts = {each: verdict for each, verdict in self._verdicts.items() if each != subject}
        if len(verdicts) >= MAX_RULES:
            raise UsageError(f"{rule_text}: there are {MAX_RULES} rules already; drop some, or deny networks")
        verdicts[subject] = allowed
        self._change(verdicts, self._reasons | {subject: reason})

    def _change(self, verdicts: dict[Subject, bool], reasons: dict[Subject, str]) -> None:
        kept = {subject: reason for subject, reason in reasons.items() if reason and subject in verdicts}
        if self._path is not None:
            rules = [
                {"allow" if allowed else "deny": str(subject)}
                | ({"reason": kept[subject]} if subject in kept else {})
                for subject, allowed in verdicts.items()
            ]
            write_atomically(self._path, json.dumps({"format": _FORMAT, "rules": rules}, indent=1) + "\n")
        self._reasons = kept
        self._set(verdicts)

    def _set(self, verdicts: dict[Subject, bool]) -> None:
        self._verdicts = verdicts
        self._peers = {each: allowed for each, allowed in verdicts.items() if isinstance(each, PeerId)}
        networks: dict[tuple[int, int], dict[int, bool]] = {}
        for subject, allowed in verdicts.items():
            if isinstance(subject, IPv4Network | IPv6Network):
                bits, length = subject.max_prefixlen, subject.prefixlen
                table = networks.setdefault((bits, length), {})
                table[int(subject.network_address) >> (bits - length)] = allowed
        self._networks = dict(sorted(networks.items(), reverse=True))


def _parse(text: str) -> Subject:
    """What a rule is about. Raises `UsageError` that says what is wrong."""
    text = text.strip()
    if text == EVERY_PEER:
        return EVERY_PEER
    if text.startswith("/p2p/"):
        text = text.removeprefix("/p2p/")
    elif text.startswith("/ip"):
        text = _without_slashes(text)
    elif not text or text[0] == "/" or any(each.isspace() for each in text):
        raise UsageError(
            f"{text!r} is not a rule: give a peer id, an IP address, a network like 192.0.2.0/24, or *"
        )
    if "." in text or ":" in text:
        try:
            network = ip_network(text)
        except ValueError as error:
            hint = ""
            if "host bits" in str(error):
                hint = f"; the network is {ip_network(text, strict=False)}"
            raise UsageError(f"{text!r} is neither an IP address nor a network: {error}{hint}") from None
        return _unmapped(network)
    try:
        return PeerId.parse(text)
    except DecodeError as error:
        raise UsageError(f"{text!r} is neither a peer id nor an IP address: {error}") from None


def _without_slashes(text: str) -> str:
    """`192.0.2.0/24` out of `/ip4/192.0.2.0/ipcidr/24`."""
    parts = text.split("/")[1:]
    if parts[0] in ("ip4", "ip6") and len(parts) in (2, 4) and (len(parts) == 2 or parts[2] == "ipcidr"):
        if (parts[0] == "ip6") is not (":" in parts[1]):
            raise UsageError(f"{text!r}: {parts[1]!r} is not an address of {parts[0]}")
        return "/".join([parts[1], *parts[3:]])
    raise UsageError(
        f"{text!r} is not a rule: of addresses only /ip4/<ip>, /ip6/<ip> and /ipcidr/<bits> behind them count"
    )


def _unmapped(network: Network) -> Network:
    """IPv4 mapped into IPv6 is judged as IPv4."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - 96))
    return network


def _host(address: Multiaddr) -> tuple[int, int] | None:
    """Width in bits and number of the IP address at the front (a relay's, for a relayed one); None for names."""
    for component in address.components:
        if component.code in (IP4, IP6):
            ip = ip_address(component.value)
            if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
                ip = ip.ipv4_mapped
            return ip.max_prefixlen, int(ip)
        if component.code != IP6ZONE:
            return None
    return None


def _network_text(bits: int, number: int, length: int) -> str:
    kind = IPv4Network if bits == 32 else IPv6Network
    return str(kind((number >> (bits - length) << (bits - length), length)))


def _read(path: Path) -> tuple[dict[Subject, bool], dict[Subject, str]]:
    """Verdicts, and why they were made where that is known."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        raise StorageError(
            f"{path}: the rules cannot be read: {error.strerror}; check its owner and mode"
        ) from None
    try:
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(f"it is longer than {MAX_FILE_BYTES} bytes")
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise UsageError(f'it is not an object with "format": {_FORMAT}')
        return _verdicts(document.get("rules"))
    except (ValueError, RecursionError, UsageError) as error:
        remedy = "correct it, restore it from a backup, or move it away to start without rules"
        raise StorageError(f"{path}: the rules are damaged: {error}; {remedy}") from None


def _verdicts(rules: object) -> tuple[dict[Subject, bool], dict[Subject, str]]:
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise UsageError(f'"rules" is not a list of at most {MAX_RULES} rules')
    verdicts: dict[Subject, bool] = {}
    reasons: dict[Subject, str] = {}
    for rule in rules:
        said = dict(rule) if isinstance(rule, dict) else {}
        reason = said.pop("reason", "")
        ((verdict, text),) = said.items() if len(said) == 1 else (("", None),)
        if verdict not in ("allow", "deny") or not isinstance(text, str) or not isinstance(reason, str):
            raise UsageError(f'{rule!r} is not {{"deny": <rule>}} or {{"allow": <rule>}}')
        subject = _parse(text)
        verdicts[subject] = verdict == "allow"
        if reason:
            reasons[subject] = reason[:MAX_REASON]
    return verdicts, reasons
