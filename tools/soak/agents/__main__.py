"""`python -m tools.soak.agents`: run, kill, judge, report."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.apps.agent.store.agent_store import FILE_NAME
from mesh.codecs.agent_delivery import State
from tools.interop_peers.process import CommandFailed, PeerProcess, ProcessEnded
from tools.soak.agents.verdict import Finding, figures, judge, markdown

ROLES = ("sender", "relay", "receiver", "target")
LOOK_S = 0.5
STARTS = 20
QUIET_SHARE = 0.98
"""Nobody is killed any more once so many of the messages are through: the last ones wait for pauses to end."""
PROVEN_BY_WAKING = (State.STORED, State.DELIVERED, State.INVOKED, State.RESUMED)


@dataclass
class Part:
    """One of the four: how it is started, and the process that runs now."""

    command: tuple[str, ...]
    process: PeerProcess | None = None
    peer: str = ""
    up: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Start it again with what it has on disk, as often as it takes."""
        for attempt in range(1, STARTS + 1):
            process = PeerProcess(sys.executable, "-m", *self.command)
            try:
                await process.__aenter__()
            except (ProcessEnded, TimeoutError, AssertionError):
                if attempt == STARTS:
                    raise
                await asyncio.sleep(LOOK_S)
            else:
                self.process, self.peer = process, process.peer
                self.up.set()
                return

    async def kill(self) -> None:
        """SIGKILL."""
        process, self.process = self.process, None
        self.up.clear()
        if process is not None:
            await process.kill()
            await process.__aexit__(None, None, None)


class Run:
    """One run in a folder. ``kills`` counts by role."""

    def __init__(self, folder: Path, messages: int, kill_every_s: float, seed: int) -> None:
        self._messages = messages
        self._kill_every_s = kill_every_s
        self._rng = random.Random(seed)
        self._folder = folder
        self.kills: Counter[str] = Counter()
        self.sender, self.receiver = (folder / role / FILE_NAME for role in ("sender", "receiver"))
        self.target = folder / "target.sqlite"
        self.parts: dict[str, Part] = {}

    async def start(self) -> None:
        """The relay first, whose address the others are given."""
        ports = [str(free_port()) for _ in range(3)]
        worker, folder = "tools.soak.agents.worker", self._folder
        self.parts["relay"] = Part((worker, "relay", str(folder / "relay"), ports[0]))
        await self.parts["relay"].start()
        relay = f"/ip4/127.0.0.1/tcp/{ports[0]}/p2p/{self.parts['relay'].peer}"
        self.parts["target"] = Part(("tools.soak.agents.target", str(self.target), ports[1]))
        gateway = (f"127.0.0.1:{ports[2]}", f"http://127.0.0.1:{ports[1]}")
        self.parts["receiver"] = Part((worker, "receiver", str(folder / "receiver"), "0", relay, *gateway))
        self.parts["sender"] = Part((worker, "sender", str(folder / "sender"), "0", relay))
        await asyncio.gather(*(self.parts[role].start() for role in ("target", "receiver", "sender")))

    async def deliver(self, limit_s: float) -> None:
        """Queue, and kill, until the sender has all receipts."""
        killing = asyncio.create_task(self._kill_at_random())
        queueing = asyncio.create_task(self._queue())
        until = time.monotonic() + limit_s
        proven = 0
        try:
            while time.monotonic() < until and proven < self._messages:
                await asyncio.sleep(LOOK_S)
                proven = max(proven, await self._proven())
                if proven > self._messages * QUIET_SHARE:
                    killing.cancel()
        finally:
            for task in (killing, queueing):
                task.cancel()
            await asyncio.wait([killing, queueing])

    async def stop(self) -> None:
        """End all four."""
        for part in self.parts.values():
            await part.kill()

    async def _queue(self) -> None:
        while True:
            part, peer = self.parts["sender"], self.parts["receiver"].peer
            await part.up.wait()
            try:
                assert part.process is not None
                await part.process.call("queue", peer=peer, upto=self._messages, within_s=3600)
            except (ProcessEnded, CommandFailed, ConnectionError):
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _proven(self) -> int:
        """How many messages the sender has all receipts of, as far as it can be asked."""
        process = self.parts["sender"].process
        if process is None:
            return 0
        try:
            answer = await process.call("states")
        except (ProcessEnded, CommandFailed, ConnectionError):
            return 0
        return min(int(answer.get(str(int(state)), 0)) for state in PROVEN_BY_WAKING)

    async def _kill_at_random(self) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._kill_every_s))
            await asyncio.shield(self._kill(self._rng.choice(ROLES), self._rng.uniform(0, 1.5)))

    async def _kill(self, role: str, away_s: float) -> None:
        await self.parts[role].kill()
        self.kills[role] += 1
        await asyncio.sleep(away_s)
        await self.parts[role].start()


def free_port() -> int:
    """A port of loopback that was free just now, and that nobody is given who asks for any."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


async def soak(messages: int, kill_every_s: float, seed: int, limit_s: float) -> tuple[list[Finding], str]:
    """One run; what was found, and the report."""
    with tempfile.TemporaryDirectory(prefix="mesh-soak-") as name:
        run = Run(Path(name), messages, kill_every_s, seed)
        began = time.monotonic()
        try:
            await run.start()
            await run.deliver(limit_s)
        finally:
            took_s = time.monotonic() - began
            await run.stop()
        findings = judge(run.sender, run.receiver, run.target, messages)
        numbers: list[tuple[str, object]] = [
            ("messages", messages),
            ("seconds", round(took_s)),
            *((f"{role} killed", run.kills[role]) for role in ROLES),
            *figures(run.sender, run.receiver, run.target),
            ("seed", seed),
        ]
        return findings, markdown(findings, numbers, "Messages between agents whose processes are killed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a rule is broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.agents", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="how many [10000]")
    parser.add_argument(
        "--kill-every", type=float, default=10.0, metavar="S", help="mean time between two kills [10]"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="when to give up [60]")
    parser.add_argument("--seed", type=int, help="what kills are drawn from [random]")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there as well")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    findings, report = asyncio.run(soak(options.messages, options.kill_every, seed, options.minutes * 60))
    print(report)
    if options.report is not None:
        options.report.write_text(report)
    return 0 if all(finding.holds for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
