"""Seeds of the fuzz corpus for Beam's formats: signed records, and the messages between neighbours and of tunnels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.codecs import beam, beam_route, beam_session, beam_sync
from mesh.codecs.envelope import Envelope
from mesh.codecs.wire import Record
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.gossip_message import ANNOUNCE, HEARTBEAT, record_body, sign_message
from mesh.protocols.beam.name_record import NameRecord, sign_name, sign_transfer
from mesh.protocols.beam.service_record import ServiceRecord, sign_service

ALICE, BOB = (PrivateKey.from_seed(bytes([number]) * 32) for number in (1, 2))
AT_MS = 1_795_198_653_600


def beam_seeds() -> dict[str, list[bytes]]:
    """Inputs by format, valid ones first."""
    alice, bob = (PeerId.from_public_key(each.public) for each in (ALICE, BOB))
    address = Multiaddr.parse("/ip4/192.168.1.100/tcp/8080")
    facts: Mapping[str, Any] = {"version": "1.0.0", "protocol": "http", "capabilities": ["ws"]}
    service = sign_service(
        ALICE, ServiceRecord("myapp.local", "http", alice, (address,), 3600, AT_MS, AT_MS, facts)
    )
    held = NameRecord(bytes(16), "myapp", alice, "myapp.local", AT_MS, AT_MS, 86400, 1, addresses=(address,))
    transfer = sign_transfer(ALICE, held, bob, AT_MS)
    name = sign_name(
        BOB,
        NameRecord(
            bytes(16),
            "myapp",
            bob,
            "myapp.local",
            AT_MS,
            AT_MS + 1,
            86400,
            2,
            transfers=(transfer,),
            tags=("a",),
        ),
    )
    said = sign_message(ALICE, ANNOUNCE, "1", AT_MS, record_body(service)).envelope
    beat = sign_message(ALICE, HEARTBEAT, "2", AT_MS, {"services": ["myapp.local"]}).envelope
    rumours = [beam.Rumour(hops=8, message=said), beam.Rumour(message=beat)]
    ids = beam.Ids(ids=[bytes(32), bytes(range(32))])
    parts: Mapping[str, Sequence[Record]] = {
        "rumour": rumours,
        "ids": [ids, beam.Ids()],
        "gossip_frame": [
            beam.GossipFrame(rumours=rumours),
            beam.GossipFrame(digest=ids),
            beam.GossipFrame(wanted=ids, offered=beam.Ids()),
        ],
        "opening": [beam.Opening(service_id="myapp.local")],
        "answer": [beam.TunnelAnswer(status=beam.TunnelStatus.NOT_ALLOWED, reason="not on the list")],
    }
    return {
        "beam.service_record": [Envelope.decode(service.envelope).payload],
        "beam.name_transfer": [Envelope.decode(transfer.envelope).payload],
        "beam.name_record": [Envelope.decode(name.envelope).payload],
        **{f"beam.{part}": [each.encode() for each in records] for part, records in parts.items()},
        "beam_route.request": [
            beam_route.RouteRequest(hops=[alice.to_bytes(), bob.to_bytes()]).encode(),
            beam_route.RouteRequest().encode(),
        ],
        "beam_route.answer": [
            beam_route.RouteAnswer().encode(),
            beam_route.RouteAnswer(status=beam_route.RouteStatus.NOT_CONNECTED).encode(),
        ],
        **_session_seeds(),
        **_sync_seeds(alice.to_bytes(), service.envelope),
    }


def _sync_seeds(origin: bytes, record: bytes) -> dict[str, list[bytes]]:
    mark = beam_sync.Mark(origin=origin, digest=bytes(16))
    frames = (
        beam_sync.SyncFrame(marks=[mark], final=True),
        beam_sync.SyncFrame(wanted=[origin], records=[record]),
        beam_sync.SyncFrame(final=True),
        beam_sync.SyncFrame(status=beam_sync.SyncStatus.TOO_SOON, final=True),
    )
    return {
        "beam_sync.mark": [mark.encode()],
        "beam_sync.frame": [each.encode() for each in frames],
    }


def _session_seeds() -> dict[str, list[bytes]]:
    first = beam_session.SessionOpening(session_id=bytes(range(16)), protocol="/beam/tunnel/tcp/1.0.0")
    refused = beam_session.SessionAnswer(status=beam_session.SessionStatus.BUSY, reason="64 sessions")
    frames = (
        beam_session.SessionFrame(offset=5, data=b"hello", received=3, window=4096),
        beam_session.SessionFrame(offset=10, final=True, received=4, ping=7, carries=True),
        beam_session.SessionFrame(pong=7, carries=False),
        beam_session.SessionFrame(reset=True),
    )
    return {
        "beam_session.opening": [
            first.encode(),
            beam_session.SessionOpening(session_id=bytes(16)).encode(),
        ],
        "beam_session.answer": [beam_session.SessionAnswer().encode(), refused.encode()],
        "beam_session.frame": [each.encode() for each in frames],
    }
