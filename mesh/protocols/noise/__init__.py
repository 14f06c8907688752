"""Noise for libp2p: `Noise_XX_25519_ChaChaPoly_SHA256`, pure (Noise Protocol Framework rev. 34; libp2p noise).

Three modules, as the specification is cut: `symmetric` (CipherState, SymmetricState), `handshake` (the XX pattern with
libp2p's payload, identity check and early muxer list) and `session` (transport records). Phases are types:
`Handshake.finish()` gives the `Session`.

Randomness is an argument: the ephemeral secret, and a static key that one process may keep for its life (never longer).
Signing the static key needs the identity key and is done once, in `credentials`.
"""

from mesh.protocols.noise.handshake import Credentials, Established, Failed, Handshake, credentials
from mesh.protocols.noise.session import Session

PROTOCOL_ID = "/noise"

__all__ = ["PROTOCOL_ID", "Credentials", "Established", "Failed", "Handshake", "Session", "credentials"]
