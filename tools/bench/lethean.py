"""`python -m tools.bench.lethean`: what the pure parts of the Lethean mesh cost, in operations a second of one core.

Each row is the best of some rounds of CPU time; the network is not in it. A message of 1 KiB is an envelope whose payload
has that size: its inner JSON is longer, because quotes are escaped twice.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from mesh.framing.levin import Header, read_header, write_header
from mesh.protocols.lethean import sigil
from mesh.protocols.lethean.dedup import SeenMessages
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.intake import Intake
from mesh.protocols.lethean.messages import Logs, Ping
from mesh.protocols.lethean.portable_storage import Kind, Typed, decode_storage, encode_storage
from mesh.protocols.lethean.rate_limit import TokenBucket
from mesh.protocols.lethean.session import Session
from mesh.protocols.lethean.ueps import build_packet, read_packet

ROUNDS = 7
ROUND_S = 0.2
NONCE = bytes(range(24))
TS = "2026-01-02T03:04:05.6789Z"
SECRET = bytes(range(32))

Row = tuple[str, Callable[[], object], float]


def rate(work: Callable[[], object], round_s: float, rounds: int = ROUNDS) -> float:
    """Operations a second of CPU time, in the best round."""
    count, best = 1, 0.0
    while True:
        start = time.process_time()
        for _ in range(count):
            work()
        spent = time.process_time() - start
        if spent >= round_s / 2:
            break
        count *= 4
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            work()
        best = max(best, count / (time.process_time() - start))
    return best


def message(size: int) -> Envelope:
    """A message whose payload has about `size` bytes of text, in lines of 64."""
    lines = ["x" * 61] * (size // 64)
    return Envelope.of(
        Logs(miner_name="m", lines=lines),
        id="00000000-0000-4000-8000-000000000001",
        type="logs",
        sender="2a49bc4a14e72ca66ec45cdb9a5e09da",
        receiver="f35e5616160a30bf3c6e79fa73c576d4",
        ts=TS,
        reply_to="r",
    )


def message_rows() -> list[Row]:
    """Rows of the encrypted path; the last number is what is wanted, 0 for none."""
    session = Session(SECRET)
    whole = message(1024)
    sealed = session.seal(whole, NONCE, 1)
    text = whole.encode()
    bucket = TokenBucket(0.0, burst=10**12)
    intake = Intake(session, "me", SeenMessages(window_s=-1.0), bucket)
    kibibyte = bytes(1024)
    box = sigil.seal(SECRET, NONCE, kibibyte)
    ping = Ping(sent_at_ms=1)

    def send_ping() -> bytes:
        lines = Envelope.of(ping, id="i", type="ping", sender="a", receiver="b", ts=TS)
        return session.seal(lines, NONCE, 1)

    return [
        ("sigil of 1 KiB, seal", lambda: sigil.seal(SECRET, NONCE, kibibyte), 0),
        ("sigil of 1 KiB, open", lambda: sigil.unseal(SECRET, box), 0),
        ("envelope of 1 KiB, read", lambda: Envelope.decode(text), 0),
        ("message of 1 KiB, encode and seal", lambda: session.seal(whole, NONCE, 1), 5000),
        ("message of 1 KiB, open and read", lambda: session.open(sealed), 5000),
        ("message of 1 KiB, the whole intake", lambda: intake.receive(sealed, 0.0, 0.0), 5000),
        ("ping, made and sealed", send_ping, 0),
    ]


def packet_rows() -> list[Row]:
    """Rows of UEPS and Levin."""
    packet = build_packet(SECRET, 0x20, bytes(64))
    kibibyte, largest = (build_packet(SECRET, 0x20, bytes(size)) for size in (1024, 65_535))
    header = write_header(Header(1000, True, 1001))
    fields = {
        "node_data": Typed(
            Kind.OBJECT, {"peer_id": Typed(Kind.UINT64, 1), "network_id": Typed(Kind.STRING, bytes(16))}
        ),
        "payload_data": Typed(Kind.OBJECT, {"current_height": Typed(Kind.UINT64, 1)}),
    }
    storage = encode_storage(fields)
    made = Header(1000, True, 1001)
    return [
        ("UEPS packet of 64 bytes, build", lambda: build_packet(SECRET, 0x20, packet[-64:]), 0),
        ("UEPS packet of 64 bytes, read and verify", lambda: read_packet(packet, SECRET), 150_000),
        ("UEPS packet of 1 KiB, read and verify", lambda: read_packet(kibibyte, SECRET), 0),
        ("UEPS packet of 64 KiB, read and verify", lambda: read_packet(largest, SECRET), 0),
        ("Levin header, read", lambda: read_header(header), 1_000_000),
        ("Levin header, write", lambda: write_header(made), 0),
        ("portable storage of a handshake, read", lambda: decode_storage(storage), 0),
        ("portable storage of a handshake, write", lambda: encode_storage(fields), 0),
    ]


def send(count: int) -> None:
    """The other process: seals messages with fresh nonces and writes them to its output, each behind its length."""
    session, whole, out = Session(SECRET), message(1024), sys.stdout.buffer
    for number in range(count):
        sealed = session.seal(whole, number.to_bytes(24, "big"), 1)
        out.write(len(sealed).to_bytes(4, "big"))
        out.write(sealed)
    out.flush()


def between_processes(count: int) -> float:
    """Messages of 1 KiB a second of wall time from one process, through a pipe, into the intake of another."""
    intake = Intake(Session(SECRET), "me", SeenMessages(window_s=-1.0), TokenBucket(0.0, burst=10**12))
    command = [sys.executable, "-m", "tools.bench.lethean", "--send", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
        pipe = sender.stdout
        assert pipe is not None
        start = 0.0
        for _ in range(count):
            size = int.from_bytes(pipe.read(4), "big")
            start = start or time.perf_counter()
            intake.receive(pipe.read(size), 0.0, 0.0)
        spent = time.perf_counter() - start
    if intake.taken != count:
        raise RuntimeError(f"{count - intake.taken} of {count} messages were lost")
    return count / spent


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; the exit status is 0 whatever it says, because figures move with the machine."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.lethean", description=__doc__)
    parser.add_argument("--round", type=float, default=ROUND_S, help="seconds of CPU time of a round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--messages", type=int, default=20_000, help="from process to process")
    parser.add_argument("--send", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.send:
        send(options.send)
        return 0
    print(f"{'one core, best of rounds':44}{'per second':>12}{'wanted':>12}")
    for name, work, wanted in [*message_rows(), *packet_rows()]:
        found = rate(work, options.round, options.rounds)
        print(f"{name:44}{found:12,.0f}{f'{wanted:,.0f}' if wanted else '':>12}")
    through = between_processes(options.messages)
    print(f"{'1 KiB from process to process (pipe)':44}{through:12,.0f}{5000:>12,}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
