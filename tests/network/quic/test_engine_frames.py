"""An engine whose peer has finished the handshake properly and then sends frames that make no sense (RFC 9000, 19).

The packets are sealed here with the keys of a qh3 engine, so that what is in them reaches the parser of frames.
"""

from __future__ import annotations

from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from qh3 import tls
from qh3.quic.crypto import derive_key_iv_hp

from mesh.network.quic.engine import MakeEngine
from mesh.network.quic.qh3.tls import MutualContext
from tests.network.quic import rogues
from tests.network.quic.pairing import DIALER, LISTENER, End, Pair

CONNECTIONS = 150
PACKETS = 30
FIRST_PACKET = 500

BODIES = {
    0x01: "",
    0x02: "nn0n",
    0x03: "nn0nnnn",
    0x04: "snn",
    0x05: "sn",
    0x06: "nd",
    0x07: "d",
    **{0x08 + bits: "s" + "n" * bool(bits & 4) + ("d" if bits & 2 else "e") for bits in range(8)},
    0x10: "n",
    0x11: "sn",
    0x12: "n",
    0x13: "n",
    0x14: "n",
    0x15: "sn",
    0x16: "n",
    0x17: "n",
    0x18: "nnc",
    0x19: "n",
    0x1A: "8",
    0x1B: "8",
    0x1E: "",
    0x30: "e",
    0x31: "d",
    0x77: "e",
}
"""Frame types with what follows: n a number, s a stream, d bytes with their length, e bytes to the end, 8 eight bytes,
c a connection id with its token, 0 a zero."""


def encode(value: int) -> bytes:
    for bits, size in ((6, 1), (14, 2), (30, 4), (62, 8)):
        if value < 1 << bits:
            return (value | (size.bit_length() - 1) << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(value)


class Babbler:
    """Frames from a seed: some wild, most such as could be meant."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def number(self) -> int:
        draw = self.random.randrange
        return self.random.choice((draw(8), draw(120), draw(120), draw(1 << 20), draw(1 << 62)))

    def payload(self) -> bytes:
        frames = b"".join(self.frame() for _ in range(self.random.randrange(1, 5)))
        return frames + bytes(max(0, 4 - len(frames)))

    def frame(self) -> bytes:
        draw, some = self.random.randrange, self.random.randbytes
        kind = self.random.choice(list(BODIES))
        out = bytearray(encode(kind))
        for part in BODIES[kind]:
            if part == "n":
                out += encode(self.number())
            elif part == "s":
                out += encode(draw(24))
            elif part == "d":
                size = draw(50)
                out += encode(size) + some(size)
            elif part == "c":
                size = self.random.choice((8, 8, 8, 0, 20, 21))
                out += bytes([size]) + some(size + 16)
            else:
                out += {"0": b"\0", "8": some(8), "e": some(draw(20))}[part]
        return bytes(out[: draw(len(out) + 1)] if self.random.random() < 0.05 else out)


class Sealer:
    """Seals packets as the end whose context it was shown would (RFC 9001, 5.3 and 5.4), with AES-128-GCM."""

    def __init__(self) -> None:
        self.secret = b""
        self.count = FIRST_PACKET

    def watch(self, context: MutualContext) -> None:
        tell = context.update_traffic_key_cb

        def note(way: tls.Direction, epoch: tls.Epoch, suite: tls.CipherSuite, secret: bytes) -> None:
            if way == tls.Direction.ENCRYPT and epoch == tls.Epoch.ONE_RTT:
                assert suite == tls.CipherSuite.AES_128_GCM_SHA256
                self.secret = secret
            tell(way, epoch, suite, secret)

        context.update_traffic_key_cb = note

    def seal(self, connection_id: bytes, payload: bytes) -> bytes:
        suite = tls.CipherSuite.AES_128_GCM_SHA256
        key, iv, mask_key = derive_key_iv_hp(cipher_suite=suite, secret=self.secret, version=1)
        self.count += 1
        header = bytearray(b"\x41" + connection_id + self.count.to_bytes(2, "big"))
        nonce = (int.from_bytes(iv, "big") ^ self.count).to_bytes(12, "big")
        sealed = AESGCM(key).encrypt(nonce, payload, bytes(header))
        mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sealed[2:18])
        header[0] ^= mask[0] & 0x1F
        header[-2] ^= mask[1]
        header[-1] ^= mask[2]
        return bytes(header) + sealed


def wait_for_the_end(pair: Pair, end: End) -> None:
    """Let its timers run, its datagrams going nowhere."""
    for _ in range(1000):
        deadline = end.up.deadline()
        if deadline is None:
            break
        pair.now = max(pair.now, deadline)
        end.up.wake(pair.now)
        while end.up.transmit(pair.now, 64):
            pass
    assert end.up.deadline() is None
    assert end.termination is not None


@pytest.mark.parametrize("role", ["dialer", "listener"])
def test_frames_that_make_no_sense_end_the_connection_at_most(make_engine: MakeEngine, role: str) -> None:
    survived = 0
    for seed in range(CONNECTIONS):
        babbler, sealer = Babbler(Random(seed)), Sealer()
        rogue = rogues.bent(sealer.watch)
        pair = Pair((make_engine, rogue) if role == "dialer" else (rogue, make_engine)).connect()
        end = pair.dialer if role == "dialer" else pair.listener
        if seed % 2:
            for _ in range(3):
                end.up.write(end.up.open_stream(), bytes(3000), bool(seed % 3))
            pair.touch()
            pair.pass_time(0.3)
        address = LISTENER if role == "dialer" else DIALER
        for _ in range(PACKETS):
            end.up.receive(sealer.seal(end.up.connection_ids[-1], babbler.payload()), address, pair.now)
            end.up.transmit(pair.now, 64)
            if end.terminations:
                assert not end.terminations[0].application
                break
            survived += 1
        wait_for_the_end(pair, end)
    assert survived > CONNECTIONS // 15, "nothing of it was taken, so the seals are not right"
