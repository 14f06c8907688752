"""tls/3: records behind the handshake."""

from __future__ import annotations

from mesh.codecs.yamux import SYN
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.tls_handshake import shaken
from mesh.conformance.tls_client import TlsChannel, TlsOptions
from mesh.conformance.tls_forger import KEY_UPDATE_RECORD_HEAD
from mesh.conformance.verdict import Deviation
from mesh.conformance.wire_log import RECEIVED
from mesh.conformance.yamux_frames import PING, Frame
from mesh.conformance.yamux_session import Session

SECTION = Section("tls/3", "Records", "RFC 8446", security="tls")
RECORD_HEADER_BYTES = 5


async def over_tls(attempt: Attempt) -> tuple[TlsChannel, Session]:
    """A session over TLS that answers, and the channel below it."""
    channel = await attempt.prepared(shaken(attempt, TlsOptions.of(attempt.identity)), "TLS")
    session = await attempt.muxed(channel, channel.chosen if channel.chosen != "libp2p" else None)
    await attempt.prepared(session.alive(), "session over TLS")
    return channel, session


@SECTION.must(1, "Altered record after the handshake", "ends with alert", limit_s=3, hurts=True)
async def altered(attempt: Attempt) -> str:
    channel, _ = await over_tls(attempt)
    record = bytearray(channel.records(Frame(PING, SYN, 0, 1).encode()))
    record[RECORD_HEADER_BYTES + attempt.rng.randrange(len(record) - RECORD_HEADER_BYTES)] ^= 1
    channel.below.send(bytes(record))
    return await channel.ended()


@SECTION.should(2, "close_notify", "orderly end", limit_s=3, hurts=True)
async def close_notify(attempt: Attempt) -> str:
    channel, _ = await over_tls(attempt)
    channel.shut_down()
    return await channel.ended()


@SECTION.must(3, "KeyUpdate asked", "answered", limit_s=3)
async def key_update(attempt: Attempt) -> None:
    channel, session = await over_tls(attempt)
    before = len(attempt.log.entries)
    channel.update_keys()
    await session.alive()
    answers = [
        each.data for each in attempt.log.entries[before:] if each.layer == "tcp" and each.way == RECEIVED
    ]
    if KEY_UPDATE_RECORD_HEAD not in b"".join(answers):
        raise Deviation("the target goes on without a KeyUpdate of its own")
