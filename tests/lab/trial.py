"""What two nodes behind NATs and a relay come to, as a command for `mesh lab matrix` (`-m tests.lab.trial`).

`MESH_LAB_TRANSPORT` is what the homes speak (`tcp`, `quic`, `tcp+quic`); `MESH_LAB_ENDS` says who made A and B (such as
`ours-go`), `MESH_LAB_MIDDLE` who made the relay. The last line is `direct SECONDS`, from A's dial through the relay, or
`relayed`; with two transports, which it is instead of `direct`.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time

from mesh.lab.topology import RELAY
from tests.lab.punching import LabPeer, Meeting, echoes, meeting

ATTEMPTS = 3
PATIENCE_S = 18.0
"""Longer than three attempts of five seconds."""
LOOK_S = 1.0
_PLACES = {RELAY: "RELAY", "homeA": "A", "homeB": "B"}


class GivenLab:
    """The laboratory of the matrix."""

    def command(self, place: str, *command: str) -> list[str]:
        return [*shlex.split(os.environ[f"MESH_LAB_EXEC_{_PLACES[place]}"]), *command]


async def gave_up(peer: LabPeer) -> bool:
    """Whether one of ours has made all its attempts."""
    if peer.maker == "go":
        return False
    reports = (await peer.call("state"))["reports"]
    return any(each["attempt"] == ATTEMPTS and each["cause"] for each in reports)


async def direct(met: Meeting) -> tuple[str, float] | None:
    """The address of A's direct connection, and the seconds since its dial; None when there will be none."""

    async def look() -> tuple[str, float] | None:
        address = await met.a.direct(met.b.peer, PATIENCE_S)
        return None if address is None else (address, time.monotonic() - met.began)

    looking = asyncio.create_task(look())
    while not (await asyncio.wait([looking], timeout=LOOK_S))[0]:
        if await gave_up(met.b):
            looking.cancel()
            await asyncio.wait([looking])
            return None
    return looking.result()


async def attempt() -> str:
    """The last line. Raises `AssertionError`."""
    get = os.environ.get
    transports = get("MESH_LAB_TRANSPORT", "tcp").replace("+", ",")
    a, _, b = get("MESH_LAB_ENDS", "ours-ours").partition("-")
    async with meeting(GivenLab(), a, b, get("MESH_LAB_MIDDLE", "ours"), transports) as met:
        found = await direct(met)
        assert await echoes(met.a, met.b), "no echo"
        assert await echoes(met.b, met.a), "no echo back"
    if found is None:
        return "relayed"
    address, seconds = found
    which = ("quic" if "/udp/" in address else "tcp") if "," in transports else "direct"
    return f"{which} {seconds:.3f}"


def main() -> None:
    sys.stdout.write(asyncio.run(attempt()) + "\n")


if __name__ == "__main__":
    main()
