"""A link with a delay, where the kernel has no netem: two TUN devices of one process that hands packets across, later.

`python -m mesh.lab.delay_line NS-A DEV-A NS-B DEV-B MS [JITTER-MS]` makes the devices and says `ready`; it runs until it
is ended. Order is kept.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import sys
import time
from typing import Final

MAX_PACKETS: Final = 10_000
READS_PER_WAKE: Final = 64
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_PDEATHSIG: Final = 1
_TUNSETIFF: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x1001
_REQUEST: Final = struct.Struct("16sH22x")


def open_tun(namespace: str, device: str) -> int:
    """A new TUN device in a namespace; this thread stays in there. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(place, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(place)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, _REQUEST.pack(device.encode(), _TUN_WITHOUT_HEADER))
    except OSError:
        os.close(tun)
        raise
    return tun


class DelayLine:
    """Carries packets between two descriptors, each ``delay_s`` and up to ``jitter_s`` more later."""

    __slots__ = ("_count", "_delay_s", "_jitter_s", "_last", "_peer", "_waiting")

    def __init__(self, one: int, other: int, delay_s: float, jitter_s: float = 0.0) -> None:
        self._peer = {one: other, other: one}
        self._last = dict.fromkeys(self._peer, 0.0)
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def take(self, source: int, packet: bytes, now: float) -> None:
        """A packet came; with too many waiting it is lost."""
        if len(self._waiting) < MAX_PACKETS:
            due = max(self._last[source], now + self._delay_s + random.random() * self._jitter_s)
            self._last[source] = due
            self._count += 1
            heapq.heappush(self._waiting, (due, self._count, self._peer[source], packet))

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Packets to hand out now, each with its descriptor."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._waiting)
            found.append((target, packet))
        return found

    def rest_s(self, now: float) -> float:
        """Until the next packet is due; -1 for ever."""
        return max(0.0, self._waiting[0][0] - now) if self._waiting else -1


def end_with_parent() -> None:
    """Be killed when the thread that started this process is gone, however it ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    end_with_parent()
    one = open_tun(arguments[0], arguments[1])
    other = open_tun(arguments[2], arguments[3])
    jitter_s = float(arguments[5]) / 1000 if len(arguments) > 5 else 0.0
    line = DelayLine(one, other, float(arguments[4]) / 1000, jitter_s)
    poll = select.epoll()
    for each in (one, other):
        poll.register(each, select.EPOLLIN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for source, _ in poll.poll(line.rest_s(time.monotonic())):
            for _ in range(READS_PER_WAKE):
                try:
                    packet = os.read(source, 65_535)
                except OSError:
                    break
                line.take(source, packet, time.monotonic())
        for target, packet in line.due(time.monotonic()):
            try:
                os.write(target, packet)
            except OSError:
                continue


if __name__ == "__main__":
    main(sys.argv[1:])
