"""noise/2: the payload of message 3, which binds the static key to an identity."""

from __future__ import annotations

from collections.abc import Callable

from mesh.codecs.noise import HandshakePayload
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.noise_handshake import half_way, works
from mesh.conformance.noise_client import NoiseClient, framed, identity_payload
from mesh.conformance.rsa_identity import small_rsa
from mesh.conformance.verdict import Deviation, Skipped
from mesh.identity.keys import KeyType, PrivateKey
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

SECTION = Section("noise/2", "Identity payload", "noise: payload", security="noise", hurts=True)
ENDS = "ends, no application data served"


async def refused(attempt: Attempt, payload: Callable[[NoiseClient], bytes]) -> None:
    """Finish the handshake with this payload; the target must end the connection and say nothing on it."""
    wire, client = await half_way(attempt)
    wire.send(framed(client.third(payload(client))))
    await wire.ended_silently()


def good(client: NoiseClient) -> HandshakePayload:
    return identity_payload(client.identity, client.static_public, client.muxers)


@SECTION.must(1, "Signature altered", ENDS, limit_s=3)
async def altered_signature(attempt: Attempt) -> None:
    def payload(client: NoiseClient) -> bytes:
        made = good(client)
        assert made.identity_sig is not None
        signature = bytearray(made.identity_sig)
        signature[attempt.rng.randrange(len(signature))] ^= 1
        made.identity_sig = bytes(signature)
        return made.encode()

    await refused(attempt, payload)


@SECTION.must(2, "Signature over the static key without prefix", ENDS, limit_s=3)
async def no_prefix(attempt: Attempt) -> None:
    await refused(
        attempt,
        lambda client: identity_payload(client.identity, client.static_public, (YAMUX,), b"").encode(),
    )


@SECTION.must(3, "Good signature by another key", ENDS, limit_s=3)
async def other_signer(attempt: Attempt) -> None:
    other = attempt.fresh_identity()

    def payload(client: NoiseClient) -> bytes:
        made = good(client)
        made.identity_sig = other.sign(SIGNATURE_PREFIX + client.static_public)
        return made.encode()

    await refused(attempt, payload)


@SECTION.must(4, "No identity key", ENDS, limit_s=3)
async def no_key(attempt: Attempt) -> None:
    def payload(client: NoiseClient) -> bytes:
        made = good(client)
        made.identity_key = None
        return made.encode()

    await refused(attempt, payload)


@SECTION.must(5, "No signature", ENDS, limit_s=3)
async def no_signature(attempt: Attempt) -> None:
    def payload(client: NoiseClient) -> bytes:
        made = good(client)
        made.identity_sig = None
        return made.encode()

    await refused(attempt, payload)


@SECTION.must(6, "Payload not a protobuf", ENDS, limit_s=3)
async def not_protobuf(attempt: Attempt) -> None:
    await refused(attempt, lambda _client: b"\x0a\xff\xff\xff\xff\x0fnot a protobuf")


@SECTION.must(7, "Payload empty", ENDS, limit_s=3)
async def empty(attempt: Attempt) -> None:
    await refused(attempt, lambda _client: b"")


@SECTION.must(8, "Key type 9", ENDS, limit_s=3, source="peer-ids")
async def unknown_type(attempt: Attempt) -> None:
    def payload(client: NoiseClient) -> bytes:
        made = good(client)
        made.identity_key = b"\x08\x09\x12\x20" + client.identity.public.raw
        return made.encode()

    await refused(attempt, payload)


@SECTION.should(9, "RSA 1024 identity", "ends (too small)", limit_s=3, source="peer-ids, implementation")
async def small_key(attempt: Attempt) -> None:
    def payload(client: NoiseClient) -> bytes:
        key, signature = small_rsa(SIGNATURE_PREFIX + client.static_public)
        return HandshakePayload(identity_key=key, identity_sig=signature, extensions=None).encode()

    await refused(attempt, payload)


@SECTION.may(
    10,
    "secp256k1, ECDSA, RSA 2048 identities",
    "accepted, or refused cleanly",
    limit_s=5,
    source="peer-ids: key types",
)
async def other_types(attempt: Attempt) -> str:
    seen = []
    for kind in (KeyType.SECP256K1, KeyType.ECDSA, KeyType.RSA):
        attempt.identity = PrivateKey.generate(kind)
        wire, client = await half_way(attempt)
        wire.send(framed(client.third()))
        try:
            await works(attempt, wire, client)
        except Deviation:
            seen.append(f"{kind.name} {wire.state}")
        else:
            seen.append(f"{kind.name} accepted")
    return ", ".join(seen)


@SECTION.should(
    11,
    "Identity equal to the target's own",
    "refused or ignored, no crash",
    limit_s=5,
    source="implementation",
)
async def own_identity(attempt: Attempt) -> None:
    if attempt.options.target_key is None:
        raise Skipped("needs the target's own key: --target-key")
    attempt.identity = attempt.options.target_key
    wire, client = await half_way(attempt)
    wire.send(framed(client.third()))
    await wire.ended()


@SECTION.must(
    12,
    "Payload with unknown protobuf fields",
    "accepted",
    limit_s=5,
    source="protobuf, noise extensions",
    hurts=False,
)
async def unknown_fields(attempt: Attempt) -> None:
    wire, client = await half_way(attempt)
    unknown = b"\x78\x01" + b"\xc2\x3e\x05hello" + b"\x9d\x06\x01\x02\x03\x04"
    wire.send(framed(client.third(client.payload() + unknown)))
    await works(attempt, wire, client)
