"""Mirrored cases of TLS: which certificates of a listener the peer takes when it dials."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Run, Section
from mesh.conformance.certificates import DAY, Plan, extension_value, good, new_key
from mesh.conformance.tcp_mirror import TcpMirror
from mesh.conformance.tls_client import LIBP2P, TlsOptions
from mesh.conformance.verdict import Deviation
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

HANDSHAKE = Section("tls/1", "Handshake", "tls", mirrored=True)
CERTIFICATES = Section("tls/2", "Certificates", "tls", mirrored=True)
SECTIONS = (HANDSHAKE, CERTIFICATES)
REFUSES = "the dialer refuses"


async def accepted(attempt: Attempt, options: TlsOptions) -> str:
    """The dialer completes the handshake, and its session answers; returns what ALPN agreed on."""
    mirror = cast(TcpMirror, attempt)
    channel = await mirror.over_tls(options)
    await channel.handshake()
    await (await mirror.session_on(channel, YAMUX if channel.chosen == YAMUX else None)).alive()
    return channel.chosen


async def refused(attempt: Attempt, options: TlsOptions) -> str:
    """The dialer ends the handshake; returns how."""
    channel = await cast(TcpMirror, attempt).over_tls(options)
    try:
        await channel.handshake()
    except Deviation:
        if channel.ending is None:
            raise
        return channel.ending
    raise Deviation("the dialer completes the handshake")


@HANDSHAKE.must(1, "Good certificate, yamux chosen by ALPN", "the dialer completes", limit_s=10)
async def proper(attempt: Attempt) -> str:
    return await accepted(attempt, good(attempt.identity).options(attempt.rng))


@HANDSHAKE.must(2, "libp2p chosen by ALPN", "muxer by multistream", limit_s=10, source="tls: ALPN")
async def libp2p_only(attempt: Attempt) -> None:
    options = good(attempt.identity).options(attempt.rng)
    options.alpn = (LIBP2P,)
    await accepted(attempt, options)


def _changed(**changes: object) -> Callable[[Attempt], Plan]:
    def make(attempt: Attempt) -> Plan:
        plan = good(attempt.identity)
        for name, value in changes.items():
            setattr(plan, name, value)
        return plan

    return make


def _wrong_prefix(attempt: Attempt) -> Plan:
    key = new_key()
    return Plan(key, extension_value(attempt.identity, key, b"libp2p-tls:"))


def _copied(attempt: Attempt) -> Plan:
    return Plan(new_key(), extension_value(attempt.identity, new_key()))


def _other_signer(attempt: Attempt) -> Plan:
    plan = good(attempt.identity)
    plan.signer = new_key()
    return plan


def _wrong_peer(attempt: Attempt) -> Plan:
    return good(attempt.fresh_identity())


def _refusing(make: Callable[[Attempt], Plan]) -> Run:
    async def run(attempt: Attempt) -> str:
        return await refused(attempt, make(attempt).options(attempt.rng))

    return run


for _number, _title, _make in (
    (4, "Unknown extension, critical", _changed(unknown=True)),
    (5, "No libp2p extension", _changed(value=None)),
    (6, "Extension value not ASN.1", _changed(value=b"this is not ASN.1")),
    (7, "Signature with wrong prefix", _wrong_prefix),
    (8, "Extension copied from another certificate", _copied),
    (9, "Expired", _changed(start=-10 * DAY, end=-2 * DAY)),
    (10, "Not yet valid", _changed(start=2 * DAY, end=10 * DAY)),
    (12, "Self-signature by another key", _other_signer),
    (15, "Good certificate of another peer than was dialed", _wrong_peer),
):
    CERTIFICATES.must(_number, f"{_title}, from a listener", REFUSES, limit_s=5)(_refusing(_make))


@CERTIFICATES.must(2, "Extension marked critical, from a listener", "accepted", limit_s=10)
async def critical(attempt: Attempt) -> None:
    plan = good(attempt.identity)
    plan.critical = True
    await accepted(attempt, plan.options(attempt.rng))


@CERTIFICATES.must(11, "Chain of two, from a listener", REFUSES, limit_s=5)
async def chain(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    second = good(attempt.fresh_identity()).build(attempt.rng)
    return await refused(attempt, TlsOptions(chain=(plan.build(attempt.rng), second), key=plan.key))


@CERTIFICATES.should(16, "Trailing bytes after SignedKey, from a listener", REFUSES, limit_s=5, source="DER")
async def trailing(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    assert plan.value is not None
    plan.value += b"\x05\x00"
    return await refused(attempt, plan.options(attempt.rng))
