"""Circuit relay v2 without a world: who may reserve and connect, what was asked for, vouchers, which relays to hold.

`Reservations` decides for a relay; `Holdings` for a node that wants to be reached through relays.
"""

from mesh.protocols.relay.decisions import CONNECT_RULES, RESERVE_RULES, Refusal
from mesh.protocols.relay.grants import Grant, read_grant
from mesh.protocols.relay.holdings import Holdings, Standing
from mesh.protocols.relay.limit import Limit
from mesh.protocols.relay.need import Need
from mesh.protocols.relay.requests import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    Connect,
    Incoming,
    Reserve,
    answer_hop,
    answer_stop,
    ask_connect,
    ask_stop,
    read_hop,
    read_status,
    read_stop,
    read_stop_status,
)
from mesh.protocols.relay.reservations import Circuit, Reservations
from mesh.protocols.relay.settings import Settings
from mesh.protocols.relay.vouchers import check_voucher, make_voucher

__all__ = [
    "CONNECT_RULES",
    "HOP_PROTOCOL",
    "RESERVE_RULES",
    "STOP_PROTOCOL",
    "Circuit",
    "Connect",
    "Grant",
    "Holdings",
    "Incoming",
    "Limit",
    "Need",
    "Refusal",
    "Reservations",
    "Reserve",
    "Settings",
    "Standing",
    "answer_hop",
    "answer_stop",
    "ask_connect",
    "ask_stop",
    "check_voucher",
    "make_voucher",
    "read_grant",
    "read_hop",
    "read_status",
    "read_stop",
    "read_stop_status",
]
