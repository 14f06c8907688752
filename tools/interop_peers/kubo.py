"""kubo, the IPFS node in Go, in a network of its own (see the README beside this file)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.interop_peers.building import FOLDER, KUBO, ensure_built

ROOT = FOLDER.parent.parent
READY_S = 60.0
RUN_S = 60.0
END_S = 10.0
LISTEN = ("/ip4/127.0.0.1/tcp/0",)
Settings = Mapping[str, Any]

_QUIET: Settings = {
    "AutoConf": {"Enabled": False},
    "AutoNAT": {"ServiceMode": "disabled"},
    "AutoTLS": {"Enabled": False},
    "Bootstrap": [],
    "DNS": {"Resolvers": {}},
    "Discovery": {"MDNS": {"Enabled": False}},
    "Gateway": {"NoFetch": True},
    "Ipns": {"DelegatedPublishers": []},
    "Routing": {"Type": "dht", "DelegatedRouters": [], "LoopbackAddressesOnLanDHT": True},
    "Swarm": {
        "DisableNatPortMap": True,
        "EnableHolePunching": False,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
        "ResourceMgr": {"Enabled": False},
        "Transports": {
            "Network": {"QUIC": False, "Relay": False, "WebTransport": False, "WebRTCDirect": False}
        },
    },
    "Version": {"SwarmCheckEnabled": False},
}
"""Nothing that asks anybody for anything of its own accord, save the peers it is connected to."""


class KuboFailed(Exception):  # noqa: N818
    """A command ended with an error; what it said is in the message."""


class Kubo:
    """A kubo daemon with a repository of its own for the length of an `async with`, inside `isolation.isolated`.

    ``settings`` are merged into its configuration. It refuses to start where the network has more than loopback.
    Raises `PeerMissing` at the start where it cannot be built.
    """

    def __init__(self, *, listen: Sequence[str] = LISTEN, settings: Settings | None = None) -> None:
        self._listen = listen
        self._settings = settings or {}
        self._stack = contextlib.AsyncExitStack()
        self._program = ""
        self._environment: dict[str, str] = {}
        self._said: deque[str] = deque(maxlen=20)
        self.peer = ""
        self.addresses: list[str] = []
        """Where it listens, each with its peer id."""

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._program = str(ensure_built(KUBO))
        async with contextlib.AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubo-")))
            self._environment = _environment(home)
            await self.run("init", "--empty-repo", "--profile=test")
            self._configure(home / "repo" / "config")
            await self._start(stack)
            about = json.loads(await self.run("id", "--enc=json"))
            self.peer, self.addresses = about["ID"], about["Addresses"]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # -- talking -----------------------------------------------------------------------------------------------------

    async def run(self, *command: str, given: bytes = b"", within_s: float = RUN_S) -> str:
        """What an `ipfs` command prints when it has ``given`` on its input. Raises `KuboFailed`, `TimeoutError`."""
        pipe = asyncio.subprocess.PIPE
        process = await self._spawn(*command, stdin=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(within_s):
                output, errors = await process.communicate(given)
        finally:
            await _end(process, 0.0)
        if process.returncode != 0:
            raise KuboFailed(f"ipfs {' '.join(command)}: {errors.decode(errors='replace').strip()}")
        return output.decode()

    async def connect(self, address: str) -> None:
        """Dial an address that ends in `/p2p/`."""
        await self.run("swarm", "connect", address)

    async def add(self, content: bytes) -> str:
        """Keep some content; its CID. It is not announced by that alone."""
        return (await self.run("add", "--quieter", "--cid-version=1", given=content)).strip()

    async def provide(self, cid: str) -> None:
        """Announce content that it keeps."""
        await self.run("routing", "provide", cid)

    async def find_providers(self, cid: str, *, count: int = 20) -> list[str]:
        """The peer ids of providers."""
        return (await self.run("routing", "findprovs", f"--num-providers={count}", cid)).split()

    async def find_peer(self, peer: str) -> list[str]:
        """The addresses of a peer, without its id."""
        return (await self.run("routing", "findpeer", peer)).split()

    async def table(self, network: str = "lan") -> list[str]:
        """The peers of one of its routing tables, `lan` or `wan`."""
        told = json.loads(await self.run("stats", "dht", "--enc=json", network))
        return [peer["ID"] for bucket in told["Buckets"] or [] for peer in bucket["Peers"] or []]

    # -- within ------------------------------------------------------------------------------------------------------

    async def _spawn(self, *command: str, stdin: int, stderr: int) -> asyncio.subprocess.Process:
        """Through the guard, which lets it start only in isolation."""
        guard = (sys.executable, "-m", "tools.interop_peers.isolation")
        return await asyncio.create_subprocess_exec(
            *(*guard, self._program, *command),
            cwd=ROOT,
            env=self._environment,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the daemon; ``stack`` ends it."""
        daemon = await self._spawn(
            "daemon", stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.STDOUT
        )
        stack.push_async_callback(_end, daemon, END_S)
        async with asyncio.timeout(READY_S):
            await self._until_ready(daemon)
        reader = asyncio.create_task(self._listen_on(daemon))
        stack.push_async_callback(asyncio.gather, reader)
        stack.push_async_callback(_end, daemon, END_S)

    async def _until_ready(self, daemon: asyncio.subprocess.Process) -> None:
        assert daemon.stdout is not None
        while line := await daemon.stdout.readline():
            self._said.append(line.decode(errors="replace").rstrip())
            if b"Daemon is ready" in line:
                return
        raise KuboFailed("\n  ".join(["the daemon ended:", *self._said]))

    async def _listen_on(self, daemon: asyncio.subprocess.Process) -> None:
        """Keep the pipe empty, else the daemon would wait."""
        assert daemon.stdout is not None
        while line := await daemon.stdout.readline():
            self._said.append(line.decode(errors="replace").rstrip())

    def _configure(self, path: Path) -> None:
        settings = _merged(json.loads(path.read_text()), _QUIET)
        local = {"Swarm": list(self._listen), "API": LISTEN[0], "Gateway": [], "NoAnnounce": []}
        settings = _merged(settings, {"Addresses": local})
        path.write_text(json.dumps(_merged(settings, self._settings)))


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(home), "IPFS_PATH": str(home / "repo"), "IPFS_TELEMETRY": "off"}


def _merged(settings: Settings, changes: Settings) -> dict[str, Any]:
    """``settings`` with ``changes``, member by member where both have objects."""
    merged = dict(settings)
    for name, value in changes.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """Ask it to end, and kill it when ``patience_s`` are over."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None and patience_s:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await process.wait()
        if process.returncode is None:
            process.kill()
    await process.wait()
