"""`python -m fuzz.sequences [machine ...] [--seconds N] [--seed S]`: mutated conversations into every machine.

A conversation starts as a real exchange; the messages from some point on are mutated. Nothing may escape a machine, its
memory stays bounded, and the same bytes cut differently must lead to the same. What breaks a rule is saved in
`fuzz/regressions/<machine>/`; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from fuzz import (
    agent,
    bitswap,
    dht_server,
    lethean,
    market,
    mdns_link,
    quic_endpoint,
    router_answers,
    send_queue,
)
from fuzz.campaign import campaign
from fuzz.codec import REGRESSIONS
from fuzz.mutation import mutate
from mesh.codecs.multistream import encode_token
from mesh.errors import CertificateRefused
from mesh.identity import certificate
from mesh.identity.keys import PrivateKey
from mesh.identity.x25519 import GivenSecret
from mesh.network.memory_counter import MemoryCounter
from mesh.network.security import NoiseSecurity
from mesh.network.tls_engine import TlsIdentity
from mesh.network.tls_handshake import TlsHandshake
from mesh.network.upgrade import Failed, Upgrade, Upgraded, UpgradeSettings
from mesh.protocols import multistream, noise, yamux
from mesh.protocols.machine import Role
from tests.vectors import cases

Conversation = tuple[bytes, ...]
"""The messages one end sent, in order."""
Life = Callable[[Sequence[bytes]], object]
"""Gives a new machine these parts; returns all that could be seen of it."""

NOW = 1.0
CERTIFICATES_AT = 1.8e9
RECORD_BYTES = 65537
BYTE_BY_BYTE = 400  # longer inputs are cut at random places only
SUPPORTED = ("/ipfs/ping/1.0.0", "/ipfs/id/1.0.0")
MUXERS = ("/yamux/1.0.0",)
SETTINGS = yamux.Settings(accept_backlog=8, max_inbound_streams=16)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine under test and what its peer would say."""

    name: str
    conversations: Callable[[random.Random], Conversation]
    live: Life


def joined(pieces: Sequence[object]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)  # type: ignore[call-overload]


def negotiate(
    machine: multistream.Initiator | multistream.Responder | noise.Handshake, parts: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Drive a machine to its outcome; return what it said and the input it never saw."""
    out, rest = joined(machine.output()), b""
    for part in parts:
        if machine.outcome is not None:
            rest += part
            continue
        machine.receive(part)
        out += joined(machine.output())
        assert machine.outcome is not None or len(machine._buffer) <= RECORD_BYTES
    return out, rest


def live_multistream(
    make: Callable[[], multistream.Initiator | multistream.Responder], parts: Sequence[bytes]
) -> object:
    machine = make()
    out, rest = negotiate(machine, parts)
    if isinstance(machine.outcome, multistream.Selected):
        return out, machine.outcome.protocol, machine.outcome.leftover + rest
    return out, machine.outcome is None


def live_handshake(role: Role, parts: Sequence[bytes]) -> object:
    machine = noise.Handshake(role, own(role), agreement(role))
    out, rest = negotiate(machine, parts)
    if isinstance(machine.outcome, noise.Established):
        return out, machine.outcome.remote_peer, machine.outcome.muxer, machine.finish()[1] + rest
    return out, machine.outcome is None


def live_tls(parts: Sequence[bytes]) -> object:
    """What a listener makes of a hello; its own words differ each time."""
    machine = TlsHandshake(Role.RESPONDER, tls_identity(Role.RESPONDER), None)
    for part in parts:
        if machine.outcome is None:
            machine.receive(part)
            joined(machine.output())
    return str(machine.outcome)


def live_channel(parts: Sequence[bytes]) -> object:
    channel = noise.Session(bytes(32), bytes(32), b"")
    plain = b""
    for part in parts:
        plain += joined(channel.receive(part))
        assert channel.partial_bytes <= RECORD_BYTES
    return plain, channel.failure is None, channel.receive_nonce


def live_yamux(parts: Sequence[bytes]) -> object:
    session = yamux.Session(Role.RESPONDER, SETTINGS, 0.0)
    stream = session.open()
    session.announce(stream)
    session.wake(0.0)
    total = 0
    for part in parts:
        session.receive(part, NOW)
        total += len(part)
        check_yamux(session, total)
    return seen_of(session, stream)


def live_certificate(parts: Sequence[bytes]) -> object:
    try:
        return certificate.verify([b"".join(parts)], CERTIFICATES_AT)
    except CertificateRefused as error:
        return error.wire_code, str(error)


def check_yamux(session: yamux.Session, total: int) -> None:
    """Bounds that hold whatever was received."""
    streams = session.streams.values()
    assert len(session._partial) < 12
    assert 0 <= session.inbound_streams <= SETTINGS.max_inbound_streams
    assert 0 <= session._backlog <= SETTINGS.accept_backlog
    assert 0 <= session.held_bytes <= 2 * total
    assert session.queued_bytes <= SETTINGS.batch_bytes + total
    assert all(each.receive_window >= 0 and 0 <= each.send_window < 2**32 for each in streams)


def seen_of(session: yamux.Session, *own_streams: yamux.Stream) -> object:
    """Everything the floor above can see of a session, which is read to the end."""
    opened = [event.stream for event in session.events() if isinstance(event, yamux.StreamOpened)]
    streams = []
    for each in (*own_streams, *opened):
        shown = (each.id, each.reset_code, each.read_closed, each.send_window, each.receive_window)
        payload = bytearray()
        while each.queued_bytes:
            payload += session.take(each, 1000)
        streams.append((shown, bytes(payload)))
    assert session.held_bytes == 0, "bytes are held after all was read"
    out = joined([piece for batch in session.output() for piece in batch])
    return out, streams, repr(session.ended), session.remote_gone, session.rtt_s


def live_upgrade(role: Role, muxers: tuple[str, ...], parts: Sequence[bytes]) -> object:
    machine = Upgrade(role, upgrade_settings(role, muxers))
    out = joined(machine.output())
    total = 0
    for part in parts:
        total += len(part)
        outcome = machine.outcome
        if outcome is None:
            machine.receive(part, NOW)
            out += joined(machine.output())
        elif isinstance(outcome, Upgraded):
            for plain in outcome.channel.receive(part):
                outcome.session.receive(plain, NOW)
        if isinstance(machine.outcome, Upgraded):
            check_yamux(machine.outcome.session, total)
    outcome = machine.outcome
    if isinstance(outcome, Failed) or (outcome is not None and outcome.channel.failure is not None):
        return "failed"
    if outcome is None:
        return out, machine.stage
    return out, outcome.remote_peer, outcome.early_muxer, seen_of(outcome.session)


def other(role: Role) -> Role:
    return Role.RESPONDER if role is Role.INITIATOR else Role.INITIATOR


def secret(role: Role) -> bytes:
    return role.value[:1].encode() * 32


def agreement(role: Role) -> GivenSecret:
    return GivenSecret(secret(role))


@cache
def own(role: Role, muxers: tuple[str, ...] = MUXERS) -> noise.Credentials:
    return noise.credentials(PrivateKey.from_seed(secret(role)), agreement(role), muxers)


@cache
def tls_identity(role: Role) -> TlsIdentity:
    return TlsIdentity(PrivateKey.from_seed(secret(role)), MUXERS, lambda: CERTIFICATES_AT)


def upgrade_settings(role: Role, muxers: tuple[str, ...]) -> UpgradeSettings:
    security = NoiseSecurity(own(role, muxers), lambda: agreement(role))
    return UpgradeSettings((security,), SETTINGS, MemoryCounter(1 << 30))


def tokens_of_initiator(rng: random.Random) -> Conversation:
    names = rng.sample(("/none/1", "/none/2", *SUPPORTED), 3)
    return (*map(encode_token, (multistream.HEADER, *names)), b"payload")


def tokens_of_responder(rng: random.Random) -> Conversation:
    refusals = [encode_token(multistream.NOT_AVAILABLE)] * rng.randrange(2)
    return encode_token(multistream.HEADER), *refusals, encode_token(SUPPORTED[len(refusals)]), b"payload"


def frames(rng: random.Random) -> Conversation:
    """What a dialer's session sends while it opens, uses and ends streams."""
    session = yamux.Session(Role.INITIATOR, SETTINGS, 0.0)
    streams = [session.open() for _ in range(3)]
    actions: list[Callable[[yamux.Stream], object]] = [session.announce, session.close_write, session.reset]
    actions += [lambda stream: session.go_away(), lambda stream: session.wake(0.0)]
    messages = []
    for _ in range(8):
        stream = rng.choice(streams)
        if rng.random() < 0.6 and not stream.write_closed and stream.reset_code is None:
            session.send(stream, bytes([stream.id]) * rng.choice((1, 10, 1500)))
        else:
            rng.choice(actions)(stream)
        messages += [joined(batch) for batch in session.output()]
    return tuple(messages)


def records(rng: random.Random) -> Conversation:
    channel = noise.Session(bytes(32), bytes(32), b"")
    return tuple(joined(channel.seal([each])) for each in (b"a", b"bc" * 200, b"", *frames(rng)) if each)


def tls_hello(rng: random.Random) -> Conversation:
    """A dialer's first message, and two records that make no sense behind it."""
    hello = joined(TlsHandshake(Role.INITIATOR, tls_identity(Role.INITIATOR), None).output())
    return hello, b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x00\x20" + rng.randbytes(32)


def handshake_of(role: Role, rng: random.Random) -> Conversation:
    both = {each: noise.Handshake(each, own(each), agreement(each)) for each in Role}
    said: dict[Role, list[bytes]] = {each: [] for each in Role}
    for sender in (Role.INITIATOR, Role.RESPONDER, Role.INITIATOR):
        message = joined(both[sender].output())
        said[sender].append(message)
        both[other(sender)].receive(message)
    return (*said[role], joined(both[role].finish()[0].seal([b"payload"])))


def upgrade_of(role: Role, muxers: tuple[str, ...], rng: random.Random) -> Conversation:
    """What one end of an upgrade says, with frames behind it: as they are, or mutated before they are sealed."""
    both = {each: Upgrade(each, upgrade_settings(each, muxers)) for each in Role}
    said: list[bytes] = []
    forged = not muxers and rng.random() < 0.3
    while any(each.outcome is None for each in both.values()):
        for sender in Role:
            machine, peer = both[sender], both[other(sender)]
            if sender is role and forged and machine.channel is not None:
                return (*said, joined(machine.channel.seal([mutated(tokens_of_initiator(rng), rng)])))
            for piece in machine.output():
                if sender is role:
                    said.append(bytes(piece))
                if peer.outcome is None:
                    peer.receive(piece, NOW)
    outcome = both[role].outcome
    assert isinstance(outcome, Upgraded)
    plain = frames(rng)
    if rng.random() < 0.5:
        plain = (mutated(plain, rng),)
    return (*said, *(joined(outcome.channel.seal([each])) for each in plain if each))


def certificates(rng: random.Random) -> Conversation:
    """A certificate that somebody recorded, good or bad."""
    return (bytes.fromhex(rng.choice(cases("tls_certificates"))["certificate"]),)


def machines() -> dict[str, Machine]:
    """Every machine under its name."""

    initiator = partial(multistream.Initiator, SUPPORTED)
    responder = partial(multistream.Responder, SUPPORTED.__contains__)
    listed = [
        Machine("multistream-initiator", tokens_of_responder, partial(live_multistream, initiator)),
        Machine("multistream-responder", tokens_of_initiator, partial(live_multistream, responder)),
        Machine("noise-session", records, live_channel),
        Machine("yamux-session", frames, live_yamux),
        Machine("certificate", certificates, live_certificate),
        Machine("tls-listener", tls_hello, live_tls),
        Machine("bitswap-peer", bitswap.messages, bitswap.live_peer),
        Machine("dht-server", dht_server.requests, dht_server.live_server),
        Machine("quic-endpoint", quic_endpoint.commands, quic_endpoint.live_endpoint),
        Machine("mdns-link", mdns_link.packets, mdns_link.live_link),
        Machine("gossip-send-queue", send_queue.commands, send_queue.live_send_queue),
        *(Machine(name, *parts) for name, parts in router_answers.PARTS.items()),
        *(Machine(f"lethean-{name}", *parts) for name, parts in lethean.PARTS.items()),
        *(Machine(f"agent-{name}", *parts) for name, parts in agent.PARTS.items()),
        *(Machine(f"market-{name}", *parts) for name, parts in market.PARTS.items()),
    ]
    for role in Role:
        source = partial(handshake_of, other(role))
        listed.append(Machine(f"noise-{role.value}", source, partial(live_handshake, role)))
        for kind, muxers in (("upgrade", ()), ("upgrade-early", MUXERS)):
            source = partial(upgrade_of, other(role), muxers)
            listed.append(Machine(f"{kind}-{role.value}", source, partial(live_upgrade, role, muxers)))
    return {machine.name: machine for machine in listed}


def mutated(messages: Conversation, rng: random.Random) -> bytes:
    """A conversation that turns wrong at some message; rarely one that does not."""
    turn = rng.randrange(len(messages) + 1) if messages else 0
    rest = messages[turn:]
    return b"".join(messages[:turn]) + (mutate(b"".join(rest), messages, rng) if rest else b"")


def cuts(data: bytes, rng: random.Random) -> list[bytes]:
    edges = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 9)))
    return [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]


def examine(machine: Machine, data: bytes) -> str | None:
    """The rule an input breaks, in words; None if it breaks none. The same input is always cut alike."""
    rng = random.Random(data)
    try:
        whole = machine.live([data])
        ways = [cuts(data, rng), cuts(data, rng)]
        if len(data) <= BYTE_BY_BYTE:
            ways.append([data[at : at + 1] for at in range(len(data))])
        for parts in ways:
            life = machine.live(parts)
            if life != whole:
                sizes = [len(part) for part in parts]
                return f"{machine.name}: {data.hex()} cut {sizes}:\n    {life}\n    {whole}"
    except Exception:  # noqa: BLE001 - anything that escapes a machine is a finding
        return f"{machine.name}: {data.hex()}: {traceback.format_exc()}"
    return None


def saved(name: str, regressions: Path = REGRESSIONS) -> list[Path]:
    """The former findings of a machine."""
    return sorted((regressions / name).glob("*.bin"))


def fuzz(
    machine: Machine,
    rng: random.Random,
    seconds: float,
    count: int = sys.maxsize,
    regressions: Path = REGRESSIONS,
) -> tuple[int, list[str]]:
    """Try mutated conversations for a time or a number; return how many were tried and the faults."""
    return campaign(
        lambda: mutated(machine.conversations(rng), rng),
        lambda data: examine(machine, data),
        regressions / machine.name,
        seconds,
        count,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    known = machines()
    parser = argparse.ArgumentParser(prog="python -m fuzz.sequences", description="mutated conversations")
    parser.add_argument(
        "machines", nargs="*", metavar="machine", help=f"of {', '.join(known)}; all by default"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="for each machine")
    parser.add_argument("--seed", type=int, default=None, help="makes a run repeatable but for its length")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.machines if name not in known]
    if unknown:
        parser.error(f"no machine {unknown[0]}")
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}")
    failed = False
    for name in options.machines or known:
        tried, faults = fuzz(known[name], random.Random(f"{seed} {name}"), options.seconds)
        print(f"{name}: {tried} inputs, {len(faults)} faults")
        for fault in faults:
            print(f"  {fault}")
        failed = failed or bool(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
