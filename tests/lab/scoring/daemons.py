"""`mesh daemon` in a place of a laboratory, with settings of its own, asked over its control API and the command line."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from mesh.codecs.keys import KeyType
from mesh.console.client import running
from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.lab import Lab
from mesh.storage import keystore
from tests.lab.scoring.programs import Program

READY_S: Final = 40.0
END_S: Final = 10.0
LOOK_S: Final = 0.1
COMMAND_S: Final = 120.0

_numbers = itertools.count(1)

Settings = dict[str, Any]
Answer = dict[str, Any]


class DaemonFailed(AssertionError):  # noqa: N818 - said of the daemon
    """A daemon did not start, or did not come to what was waited for."""


async def mesh(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a `mesh` command outside of the laboratory: status, stdout and stderr. Raises `DaemonFailed`."""
    number = next(_numbers)
    out, log = folder / f"out{number}", folder / f"err{number}"
    program = Program(arguments, out, log)
    await program.start()
    try:
        status = await program.ended(COMMAND_S)
    finally:
        await program.stop(0.0)
    if status is None:
        raise DaemonFailed(f"{' '.join(arguments)}: not finished within {COMMAND_S:g} s")
    return status, out.read_text(), log.read_text()


class LabDaemon:
    """One node: its place and folder. ``peer`` is its id. ``ahead_s`` is how wrong its machine's clock is, ``hosts`` a
    file in place of its machine's hosts file."""

    def __init__(self, lab: Lab, place: str, folder: Path, settings: Settings) -> None:
        self.lab = lab
        self.place = place
        self.folder = folder
        self.ahead_s = 0.0
        self.hosts: Path | None = None
        self._program: Program | None = None
        folder.mkdir(parents=True)
        key = keystore.load_or_create(folder / "identity.key", KeyType.ED25519)
        self.peer = str(PeerId.from_public_key(key.public))
        self._settings: Settings = {"api.listen": f"unix:{folder}/api"}
        self.set(settings)

    def set(self, settings: Settings) -> None:
        """Write these into its file, for the next start."""
        self._settings |= settings
        sections: dict[str, list[str]] = {}
        for key, value in self._settings.items():
            section, _, name = key.partition(".")
            sections.setdefault(section, []).append(f"{name} = {json.dumps(value)}")
        lines = [line for name, found in sections.items() for line in (f"[{name}]", *found)]
        (self.folder / "config.toml").write_text("\n".join(lines) + "\n")

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Run it until it says that it is ready. Raises `DaemonFailed`."""
        self._program = program = Program(
            ["daemon", "--path", str(self.folder)],
            self.folder / "out",
            self.folder / "log",
            namespace=self.lab.namespace(self.place),
            hosts=self.hosts,
            ahead_s=self.ahead_s,
        )
        await program.start()
        if not await program.says("ready", READY_S):
            raise DaemonFailed(f"{self.place} did not start: {self.log_end()}")

    async def stop(self) -> None:
        """End it, with a signal, else by force."""
        program, self._program = self._program, None
        if program is not None:
            await program.stop(END_S)

    async def restart(self) -> None:
        """End it and start it with the settings that are in its file now."""
        await self.stop()
        await self.start()

    @property
    def runs(self) -> bool:
        """Whether it has been started and not ended."""
        return self._program is not None and self._program.status is None

    def log_end(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "log").read_text().splitlines()[-8:])
        return ""

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Answer | None = None) -> Answer:
        """What its API answers. Raises `MeshError`."""
        return await asyncio.to_thread(lambda: running(self.folder).ask(method, path, body))

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """A `mesh` command about it."""
        return await mesh(self.folder, *arguments, "--path", str(self.folder))

    async def told(self, *arguments: str) -> Answer:
        """The JSON that a command prints. Raises `DaemonFailed`."""
        status, out, errors = await self.command(*arguments, "--json")
        if status:
            raise DaemonFailed(f"{' '.join(arguments)}: status {status}: {errors}")
        found: Answer = json.loads(out)
        return found

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
        """Whether an awaited condition came true in time; errors of the API count as not yet."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(MeshError):
                if await condition():
                    return True
            await asyncio.sleep(LOOK_S)
        return False

    async def connected(self, count: int, within_s: float) -> bool:
        """Whether it has had so many identified peers in time."""

        async def enough() -> bool:
            peers = (await self.ask("GET", "/swarm/peers"))["peers"]
            return len({each["peer"] for each in peers if each["agent_version"]}) >= count

        return await self.until(enough, within_s)

    async def reserved(self, within_s: float) -> bool:
        """Whether a relay has held a reservation for it in time."""

        async def held() -> bool:
            own = (await self.ask("GET", "/swarm/addrs"))["own"]
            return any("p2p-circuit" in each for each in own)

        return await self.until(held, within_s)
