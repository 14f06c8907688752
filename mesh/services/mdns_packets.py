"""Packets of multicast DNS to what the machine hears, and back, with zeroconf's own reader and writer.

Imported only by a node that has mDNS on: the library is LGPL and costs some megabytes.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from zeroconf import (  # type: ignore[attr-defined]
    DNSAddress,
    DNSIncoming,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSService,
    DNSText,
)
from zeroconf.const import (
    _CLASS_IN,
    _CLASS_UNIQUE,
    _FLAGS_AA,
    _FLAGS_QR_QUERY,
    _FLAGS_QR_RESPONSE,
    _TYPE_A,
    _TYPE_AAAA,
    _TYPE_ANY,
    _TYPE_PTR,
    _TYPE_SRV,
    _TYPE_TXT,
)

from mesh.protocols.mdns import TTL_S, Answer, Heard, Query

MAX_PACKET_BYTES: Final = 9000
"""RFC 6762, section 17."""
MAX_RECORDS: Final = 64
_WANTED: Final = (_TYPE_PTR, _TYPE_TXT, _TYPE_ANY)


def read_packet(data: bytes) -> Heard | None:
    """What a packet says; None for one that cannot be read. Records of other kinds are left out."""
    if len(data) > MAX_PACKET_BYTES:
        return None
    packet = DNSIncoming(data)
    if not packet.valid:
        return None
    records = packet.answers()[:MAX_RECORDS]
    if packet.is_query():
        asked = tuple(each.name.lower().rstrip(".") for each in packet.questions if each.type in _WANTED)
        known = frozenset(
            each.alias.lower().rstrip(".")
            for each in records
            if isinstance(each, DNSPointer) and each.ttl >= TTL_S / 2
        )
        return Heard(asked=asked[:MAX_RECORDS], known=known)
    pointers = tuple(
        (each.name.lower().rstrip("."), each.alias.lower().rstrip("."), float(each.ttl))
        for each in records
        if isinstance(each, DNSPointer)
    )
    texts = tuple(
        (each.name.lower().rstrip("."), float(each.ttl), bytes(each.text))
        for each in records
        if isinstance(each, DNSText)
    )
    return Heard(pointers=pointers, texts=texts)


def write_packets(said: Query | Answer, service: str) -> list[bytes]:
    """The packets, nearly always one, for something to say."""
    if isinstance(said, Query):
        question = DNSOutgoing(_FLAGS_QR_QUERY)
        kind = _TYPE_TXT if said.instance else _TYPE_PTR
        question.add_question(DNSQuestion(f"{said.name}.", kind, _CLASS_IN))
        return list(question.packets())
    ttl_s = round(said.ttl_s)
    answer = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    pointer = DNSPointer(f"{service}.", _TYPE_PTR, _CLASS_IN, ttl_s, f"{said.instance}.")
    answer.add_answer_at_time(pointer, 0)
    ours, name = _CLASS_IN | _CLASS_UNIQUE, f"{said.instance}."
    answer.add_additional_answer(DNSText(name, _TYPE_TXT, ours, ttl_s, said.txt))
    host = f"{said.instance.partition('.')[0]}.local."
    answer.add_additional_answer(DNSService(name, _TYPE_SRV, ours, ttl_s, 0, 0, said.port, host))
    for text in said.hosts:
        address = ip_address(text)
        kind = _TYPE_A if address.version == 4 else _TYPE_AAAA
        answer.add_additional_answer(DNSAddress(host, kind, ours, ttl_s, address.packed))
    return list(answer.packets())
