"""What stands between a home and the rest of the laboratory: NATs as a table of nftables recipes, with what each does.

Mapping and filtering are RFC 4787's: endpoint-independent (EIM, EIF), address-dependent (ADF), address and port dependent
(APDM, APDF). The cones learn the inner source port and rely on masquerade to keep it: one host a port behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.errors import UsageError

_MASQUERADE: Final = 'oifname "wan" masquerade'
_HAIRPIN: Final = 'iifname "lan" oifname "lan" masquerade'
_LEARN: Final = (
    'oifname "wan" meta l4proto { tcp, udp } update @open { meta l4proto . th sport : ip saddr }',
    'oifname "wan" meta l4proto { tcp, udp } update @seen { meta l4proto . th sport . ip daddr }',
)
_STATE: Final = (
    "map open { type inet_proto . inet_service : ipv4_addr; flags dynamic,timeout; timeout 5m; }",
    "set seen { type inet_proto . inet_service . ipv4_addr; flags dynamic,timeout; timeout 5m; }",
)
_TO_LEARNT: Final = "dnat to meta l4proto . th dport map @open"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of connection to the rest. ``before`` and ``after`` are rules of the chains before and behind routing,
    with ``{wan}`` and ``{home}`` for the addresses; ``state`` belongs to the same table. ``form`` is the shape of the
    site: `nat`, `double` (``outer`` is the kind of the carrier), `firewall`, `open` (no router's filter), `v6only`.

    ``mapping``, ``filtering`` and ``keeps_port`` are what a probe finds, for UDP; ``udp`` false: none passes.
    """

    name: str
    letter: str
    about: str
    mapping: str = "EIM"
    filtering: str = "APDF"
    keeps_port: bool = True
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = (_MASQUERADE,)
    state: tuple[str, ...] = ()
    form: str = "nat"
    outer: str = ""
    udp: bool = True
    hairpin: bool = False


_TABLE: Final = (
    Kind("port-restricted", "b", "a home router: the port is kept"),
    Kind(
        "port-changed",
        "b'",
        "port-restricted, with another port outside",
        keeps_port=False,
        after=('oifname "wan" meta l4proto { tcp, udp } masquerade to :40000-49999', _MASQUERADE),
    ),
    Kind(
        "port-fixed",
        "b''",
        "port-restricted, 4001 is always 50001 outside",
        keeps_port=False,
        after=(
            'oifname "wan" udp sport 4001 snat to {wan}:50001',
            'oifname "wan" tcp sport 4001 snat to {wan}:50001',
            _MASQUERADE,
        ),
    ),
    Kind(
        "symmetric",
        "c",
        "another port for each destination",
        mapping="APDM",
        keeps_port=False,
        after=('oifname "wan" masquerade fully-random',),
    ),
    Kind(
        "dmz",
        "dmz",
        "everything comes in to one host",
        filtering="EIF",
        before=("ip daddr {wan} meta l4proto { tcp, udp } dnat to {home}",),
        after=(_MASQUERADE, _HAIRPIN),
        hairpin=True,
    ),
    Kind(
        "full-cone",
        "a",
        "a port that was used is open to all",
        filtering="EIF",
        before=(f'iifname "wan" meta l4proto {{ tcp, udp }} {_TO_LEARNT}',),
        after=(*_LEARN, _MASQUERADE),
        state=_STATE,
    ),
    Kind(
        "address-restricted",
        "r",
        "a port is open to the addresses it has sent to",
        filtering="ADF",
        before=(f'iifname "wan" meta l4proto . th dport . ip saddr @seen {_TO_LEARNT}',),
        after=(*_LEARN, _MASQUERADE),
        state=_STATE,
    ),
    Kind(
        "full-cone-hairpin",
        "ah",
        "a full cone that also serves its own hosts",
        filtering="EIF",
        before=(f"ip daddr {{wan}} meta l4proto {{ tcp, udp }} {_TO_LEARNT}",),
        after=(*_LEARN, _MASQUERADE, _HAIRPIN),
        state=_STATE,
        hairpin=True,
    ),
    Kind("no-udp", "u", "port-restricted, and UDP is barred", udp=False),
    Kind("double", "bb", "two port-restricted NATs in a row", form="double", outer="port-restricted"),
    Kind(
        "double-symmetric",
        "bc",
        "a home router behind a symmetric carrier",
        mapping="APDM",
        keeps_port=False,
        form="double",
        outer="symmetric",
    ),
    Kind("firewall", "fw", "no NAT, nothing unasked comes in; IPv4 and IPv6", form="firewall"),
    Kind("v6only", "v6", "no IPv4, no filter", filtering="EIF", form="v6only"),
    Kind("open", "o", "a public host", filtering="EIF", form="open"),
)

KINDS: Final[dict[str, Kind]] = {each.name: each for each in _TABLE}
_LETTERS: Final = {each.letter: each for each in _TABLE}


def kind_named(text: str) -> Kind:
    """The kind of a name or a letter. Raises `UsageError`."""
    found = KINDS.get(text) or _LETTERS.get(text)
    if found is None:
        raise UsageError(f"no kind of NAT is called {text!r}: choose from {', '.join(KINDS)}")
    return found


def filter_table(kind: Kind, *, wan_accept: bool = False) -> str:
    """The filter of a router. ``wan_accept``: it answers what comes to itself, as bad routers do, whose connection
    tracking then holds the very tuple that a punch needs."""
    forward = ["ct state established,related accept", "ct status dnat accept", 'iifname "lan" accept']
    if not kind.udp:
        forward.insert(0, "meta l4proto udp drop")
    if kind.form == "firewall":
        forward.append("meta l4proto ipv6-icmp accept")
    entry = ["ct state established,related accept", "meta l4proto ipv6-icmp accept"]
    if not wan_accept:
        entry.append('iifname "wan" drop')
    return _table(
        "inet f",
        [
            ("fw_", "type filter hook forward priority 0; policy drop;", forward),
            ("in_", "type filter hook input priority 0; policy accept;", entry),
        ],
    )


def nat_table(kind: Kind, wan: str, home: str) -> str:
    """The NAT of a router with the outer address ``wan`` before the host ``home``."""

    def filled(rules: tuple[str, ...]) -> list[str]:
        return [each.replace("{wan}", wan).replace("{home}", home) for each in rules]

    return _table(
        "ip n",
        [
            ("pre", "type nat hook prerouting priority -100;", filled(kind.before)),
            ("post", "type nat hook postrouting priority 100;", filled(kind.after)),
        ],
        kind.state,
    )


def loss_table(device: str, per_mille: int) -> str:
    """A core that loses a share of what comes in from one device."""
    rule = f'iifname "{device}" numgen random mod 1000 < {per_mille} drop'
    back = f'oifname "{device}" numgen random mod 1000 < {per_mille} drop'
    return _table(
        f"inet loss_{device.replace('-', '_')}",
        [("fw_", "type filter hook forward priority 0; policy accept;", [rule, back])],
    )


def _table(name: str, chains: list[tuple[str, str, list[str]]], state: tuple[str, ...] = ()) -> str:
    lines = [f"table {name} {{", *(f" {each}" for each in state)]
    for chain, hook, rules in chains:
        lines += [f" chain {chain} {{", f"  {hook}", *(f"  {rule}" for rule in rules), " }"]
    return "\n".join([*lines, "}", ""])
