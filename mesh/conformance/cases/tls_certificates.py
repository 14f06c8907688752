"""tls/2: the certificate that proves an identity."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.tls_handshake import accepted, refused, shaken
from mesh.conformance.certificates import DAY, Plan, extension_value, good, new_key, new_rsa_key
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.verdict import Deviation
from mesh.identity.keys import KeyType, PrivateKey

SECTION = Section("tls/2", "Certificates", "tls", security="tls", hurts=True)
TLS_1_3 = "TLSv1.3"


async def plan_accepted(attempt: Attempt, plan: Plan) -> None:
    await accepted(attempt, plan.options(attempt.rng))


async def plan_refused(attempt: Attempt, plan: Plan) -> str:
    return await refused(attempt, plan.options(attempt.rng))


@SECTION.must(
    1, "Hand-made good certificate", "accepted", limit_s=5, source="tls: peer authentication", hurts=False
)
async def hand_made(attempt: Attempt) -> None:
    await plan_accepted(attempt, good(attempt.identity))


@SECTION.must(2, "Extension marked critical", "accepted", limit_s=5, hurts=False)
async def critical(attempt: Attempt) -> None:
    plan = good(attempt.identity)
    plan.critical = True
    await plan_accepted(attempt, plan)


@SECTION.must(3, "Unknown extension, not critical", "accepted", limit_s=5, hurts=False)
async def unknown(attempt: Attempt) -> None:
    plan = good(attempt.identity)
    plan.unknown = False
    await plan_accepted(attempt, plan)


@SECTION.must(4, "Unknown extension, critical", "refused", limit_s=5)
async def unknown_critical(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.unknown = True
    return await plan_refused(attempt, plan)


@SECTION.must(5, "No libp2p extension", "refused", limit_s=5)
async def no_extension(attempt: Attempt) -> str:
    return await plan_refused(attempt, Plan(new_key(), None))


@SECTION.must(6, "Extension value not ASN.1", "refused", limit_s=5)
async def not_asn1(attempt: Attempt) -> str:
    return await plan_refused(attempt, Plan(new_key(), b"this is not ASN.1"))


@SECTION.must(7, "Signature with wrong prefix", "refused", limit_s=5)
async def wrong_prefix(attempt: Attempt) -> str:
    key = new_key()
    return await plan_refused(attempt, Plan(key, extension_value(attempt.identity, key, b"libp2p-tls:")))


@SECTION.must(8, "Extension copied from another certificate", "refused", limit_s=5)
async def copied(attempt: Attempt) -> str:
    return await plan_refused(attempt, Plan(new_key(), extension_value(attempt.identity, new_key())))


@SECTION.must(9, "Expired", "refused", limit_s=5)
async def expired(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.start, plan.end = -10 * DAY, -2 * DAY
    return await plan_refused(attempt, plan)


@SECTION.must(10, "Not yet valid", "refused", limit_s=5)
async def not_yet_valid(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.start, plan.end = 2 * DAY, 10 * DAY
    return await plan_refused(attempt, plan)


@SECTION.must(11, "Chain of two", "refused", limit_s=5)
async def chain(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    second = good(attempt.fresh_identity()).build(attempt.rng)
    options = TlsOptions(chain=(plan.build(attempt.rng), second), key=plan.key)
    return await refused(attempt, options)


@SECTION.must(12, "Self-signature by another key", "refused", limit_s=5)
async def other_signer(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.signer = new_key()
    return await plan_refused(attempt, plan)


@SECTION.should(13, "RSA or P-384 certificate key", "accepted", limit_s=5, hurts=False)
async def other_keys(attempt: Attempt) -> None:
    await plan_accepted(attempt, good(attempt.identity, new_rsa_key()))
    await plan_accepted(attempt, good(attempt.identity, new_key(ec.SECP384R1())))


@SECTION.must(
    14,
    "Certificates of the kinds of published vectors 1 to 4 (their keys are not published)",
    "Ed25519, ECDSA and secp256k1 identities accepted, a wrong signature refused",
    limit_s=5,
    source="tls: test vectors",
)
async def vectors(attempt: Attempt) -> None:
    for kind in (KeyType.ED25519, KeyType.ECDSA, KeyType.SECP256K1):
        attempt.identity = PrivateKey.generate(kind)
        try:
            await plan_accepted(attempt, good(attempt.identity))
        except Deviation as deviation:
            raise Deviation(f"{kind.name}: {deviation.actual}") from None
    plan = good(attempt.identity)
    assert plan.value is not None
    plan.value = plan.value[:-1] + bytes((plan.value[-1] ^ 1,))
    await plan_refused(attempt, plan)


@SECTION.must(
    15,
    "Target's own certificate",
    "one, TLS 1.3, valid now, extension verifies, id as dialed",
    limit_s=5,
    hurts=False,
)
async def its_own(attempt: Attempt) -> None:
    channel = await shaken(attempt, TlsOptions.of(attempt.identity))
    if channel.version != TLS_1_3:
        raise Deviation(f"the version is {channel.version}")
    if len(channel.remote_chain) != 1:
        raise Deviation(f"{len(channel.remote_chain)} certificates")
    shown = channel.remote_peer()
    if shown != attempt.target.peer:
        raise Deviation(f"{attempt.target.peer} was dialed, the certificate proves {shown}")


@SECTION.should(16, "Trailing bytes after the SignedKey sequence", "refused", limit_s=5, source="DER")
async def trailing(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    assert plan.value is not None
    plan.value += b"\x05\x00"
    return await plan_refused(attempt, plan)
