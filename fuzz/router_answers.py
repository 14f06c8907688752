"""What routers and STUN servers send, true and forged, into the machine that maps ports and into the readers of texts.

A message is a byte for where it comes from or what it is, its length, and its bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from mesh.errors import Malformed
from mesh.protocols.port_mapping import igd, ssdp
from mesh.protocols.port_mapping.leases import MAX_PORTS
from mesh.protocols.port_mapping.mapper import SERVER_PORT, Mapper
from mesh.protocols.port_mapping.mapping import Port, Refused, Transport
from mesh.protocols.port_mapping.xml_tree import MAX_ELEMENTS, read_xml
from mesh.protocols.stun.message import write_error, write_success
from mesh.protocols.stun.transaction import Transaction
from tests.protocols.port_mapping.router import Router
from tests.vectors import cases

GATEWAY = "192.168.1.1"
OWN_IP = "192.168.1.10"
LEASE_S = 600.0
LENGTH_BYTES = 2
HEAD_BYTES = 1 + LENGTH_BYTES
PORTS = (Port(Transport.TCP, 4001), Port(Transport.UDP, 4001))
FROM_ROUTER, ANNOUNCED, FROM_STRANGER, TIME_PASSES = range(4)
SEARCHED, DESCRIBED, ANSWERED, CALLED = range(4)
SERVER = ("192.0.2.1", 3478)
TRANSACTION_ID = bytes(range(12))


def message(kind: int, data: bytes) -> bytes:
    return bytes((kind,)) + len(data).to_bytes(LENGTH_BYTES, "big") + data


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of each whole message."""
    at = 0
    while at + HEAD_BYTES <= len(data):
        end = at + HEAD_BYTES + int.from_bytes(data[at + 1 : at + HEAD_BYTES], "big")
        yield data[at] % 4, data[at + HEAD_BYTES : end]
        at = end


def nonce(port: Port) -> bytes:
    return f"{port.transport}{port.number:09}".encode()


def mapper(seed: int) -> Mapper:
    protocols = (("pcp", "nat-pmp"), ("nat-pmp", "pcp"), ("pcp",), ("nat-pmp",))[seed % 4]
    return Mapper(protocols, GATEWAY, OWN_IP, LEASE_S, nonce, lambda: 0.5)


# --- NAT-PMP and PCP -------------------------------------------------------------------------------------------------


def datagrams(rng: random.Random) -> tuple[bytes, ...]:
    """What a router answers, announces and lets pass while ports are mapped; the first byte chooses the machine."""
    seed = rng.randrange(4)
    machine = mapper(seed)
    router = Router(rng.choice((("pcp", "nat-pmp"), ("pcp",), ("nat-pmp",))), result=rng.choice((0, 0, 0, 2)))
    machine.want(PORTS, 0.0)
    said, now = [bytes((seed,))], 0.0
    for _ in range(rng.randrange(2, 12)):
        while (request := machine.output(now)) is not None:
            answer = router.answer(request, now)
            if answer is not None:
                machine.receive(answer, (GATEWAY, SERVER_PORT), now)
                said.append(message(FROM_ROUTER, answer))
        if rng.random() < 0.2:
            router.restart(now)
            said.append(message(ANNOUNCED, router.announcement(now, rng.choice(("pcp", "nat-pmp")))))
        if rng.random() < 0.2 and len(said) > 1:
            said.append(message(FROM_STRANGER, said[-1][HEAD_BYTES:]))
        passed_s = rng.choice((1, 60, 400))
        said.append(message(TIME_PASSES, passed_s.to_bytes(2, "big")))
        now += passed_s
    return tuple(said)


def live_mapper(parts: Sequence[bytes]) -> object:
    """A machine that wants two ports; all that it asked for, said and holds at the end."""
    data = b"".join(parts)
    machine = mapper(data[0] if data else 0)
    machine.want(PORTS, 0.0)
    seen: list[object] = []
    now = 0.0
    for kind, sent in messages(data[1:]):
        while (request := machine.output(now)) is not None:
            seen.append(request)
        if kind == TIME_PASSES:
            now += int.from_bytes(sent[:2], "big")
        elif kind == ANNOUNCED:
            machine.announced(sent, (GATEWAY, SERVER_PORT), now)
        else:
            host = GATEWAY if kind == FROM_ROUTER else "192.168.1.66"
            machine.receive(sent, (host, SERVER_PORT), now)
        machine.wake(now)
        seen += machine.events()
        _check(machine, now)
    return seen, [(row.port, row.granted, row.refused) for row in machine.rows], dict(machine.ignored)


def _check(machine: Mapper, now: float) -> None:
    assert len(machine.rows) <= min(MAX_PORTS, len(PORTS))
    assert (machine.deadline() is None) is machine.failed
    for row in machine.rows:
        if row.granted is not None:
            assert 1 <= row.granted.external_port <= 65535
            assert now < row.ends_at < now + 86_401


# --- UPnP ------------------------------------------------------------------------------------------------------------


def texts(rng: random.Random) -> tuple[bytes, ...]:
    """A recorded search answer and description, answers and errors of actions, and a document type full of entities."""
    recorded = [case["text"].encode() for case in cases("upnp", "port_mapping")]
    envelope = f'<s:Envelope xmlns:s="{igd.ENVELOPE}"><s:Body>%s</s:Body></s:Envelope>'
    told = "<NewExternalIPAddress>11.3.1.2</NewExternalIPAddress>"
    address = f"<GetExternalIPAddressResponse>{told}</GetExternalIPAddressResponse>"
    error = "<detail><UPnPError><errorCode>718</errorCode><errorDescription>taken</errorDescription></UPnPError></detail>"
    said = [
        message(SEARCHED, recorded[0]),
        message(DESCRIBED, recorded[1]),
        message(ANSWERED, (envelope % address).encode()),
        message(CALLED, (envelope % error).encode()),
        message(ANSWERED, b'<!DOCTYPE a [<!ENTITY b "ccc"><!ENTITY d "&b;&b;">]><a>&d;</a>'),
    ]
    return tuple(rng.sample(said, rng.randrange(1, len(said) + 1)))


def live_texts(parts: Sequence[bytes]) -> object:
    """What the readers make of each text."""
    readers: dict[int, Callable[[bytes], object]] = {
        SEARCHED: lambda text: _at_router(ssdp.check_url(ssdp.read_location(text), GATEWAY)),
        DESCRIBED: _read_description,
        ANSWERED: _read_address,
        CALLED: lambda text: repr(igd.read_answer(text, "AddPortMapping"))[:40],
    }
    seen: list[object] = []
    for kind, text in messages(b"".join(parts)):
        try:
            seen.append(readers[kind](text))
        except Malformed as error:
            seen.append(str(error))
    return seen


def _at_router(address: str) -> str:
    assert urlsplit(address).hostname == GATEWAY
    return address


def _read_description(text: bytes) -> object:
    found = igd.read_description(text, f"http://{GATEWAY}:5000/rootDesc.xml", GATEWAY)
    assert sum(1 for _ in read_xml(text).all("service")) <= MAX_ELEMENTS
    return found.kind, _at_router(found.control_url)


def _read_address(text: bytes) -> object:
    answer = igd.read_answer(text, "GetExternalIPAddress")
    return repr(answer) if isinstance(answer, Refused) else igd.read_address(answer)


# --- STUN ------------------------------------------------------------------------------------------------------------


def stun_answers(rng: random.Random) -> tuple[bytes, ...]:
    """What servers answer to one request, rightly and wrongly."""
    outside = (f"198.51.100.{rng.randrange(256)}", rng.randrange(1, 65536))
    said = [
        write_success(TRANSACTION_ID, outside, other=("192.0.2.2", 3479), origin=SERVER),
        write_success(TRANSACTION_ID, outside, masked=False),
        write_success(TRANSACTION_ID, ("2001:db8::1", 4001)),
        write_success(bytes(12), outside),
        write_error(TRANSACTION_ID, 420, "Unknown Attribute", (0x0003,)),
    ]
    rng.shuffle(said)
    return tuple(message(rng.randrange(2), each) for each in said)


def live_stun(parts: Sequence[bytes]) -> object:
    """A request that is sent again each second; what was taken for its answer."""
    transaction = Transaction(TRANSACTION_ID, (SERVER,), 0.0)
    seen: list[object] = []
    now = 0.0
    for kind, datagram in messages(b"".join(parts)):
        seen.append(transaction.output(now))
        source = SERVER if kind % 2 == 0 else ("192.0.2.66", 3478)
        taken = transaction.receive(datagram, source)
        assert not taken or kind % 2 == 0, "an answer of a stranger"
        now += 1.0
        transaction.wake(now)
        seen.append((taken, transaction.over, transaction.deadline()))
    answer = transaction.answer
    if answer is not None and answer.mapped is not None:
        assert 0 <= answer.mapped[1] <= 65535
    return seen, answer


PARTS = {
    "port-mapper": (datagrams, live_mapper),
    "upnp-texts": (texts, live_texts),
    "stun-transaction": (stun_answers, live_stun),
}
"""What a peer says, and who hears it, by name."""
