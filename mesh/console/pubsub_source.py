"""Who publishes and reads: the running daemon, or a node of its own that connects to given peers.

Both take the same requests and give the same objects.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from mesh.console.probes import asking_config, daemon_for, quiet
from mesh.console.running import run_async
from mesh.errors import Closed, DialError, DialFailure, MeshError, UsageError

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.console.client import Daemon
    from mesh.multiformats.multiaddr import Multiaddr
    from mesh.node import Node

Show = Callable[[Mapping[str, Any]], None]
ShowMore = Callable[[Mapping[str, Any]], bool]
"""Takes an object and says whether there may be more."""
Batches = Iterator[list[bytes]]

STAGE: Final = "pubsub"
OTHERS_S: Final = 3.0
"""Once one peer is there, the others get so long."""
SPEAKS_S: Final = 5.0
IN_TOPIC_S: Final = 3.0
"""What a peer says of its topics comes right after the connection."""
LEAVE_S: Final = 10.0
LOOK_S: Final = 0.02
PINGS: Final = 2
WRITING: Final = "gossip write"
"""Name of the tasks that write to peers which did not take all at once."""
NOWHERE_TO_START: Final = (
    "no daemon runs here and there is no peer to connect to: give one with --to ADDR, set network.bootstrap, or start a "
    "daemon with: mesh daemon --pubsub"
)


class TooLong(UsageError):  # noqa: N818 - a condition, as the code names it
    """The daemon's control API takes no message of this length."""

    code = "too-large"


class Source(Protocol):
    """Publishes and reads."""

    def publish(self, topic: str, data: bytes, show: Show) -> None:
        """Send a message."""

    def publish_many(self, topic: str, batches: Batches, show: Show) -> None:
        """Send messages as they come; shows an object for each that was sent."""

    def subscribe(self, topic: str, own: bool, show: ShowMore) -> None:
        """Show each object of a topic's stream as it comes. Raises `Closed` when it ends by itself."""


def source_for(path: Path | None, direct: bool, peers: Sequence[str]) -> Source:
    """The daemon if one runs, unless a node of its own is wished for or ``peers`` are given for it to connect to.

    Raises `UsageError` when such a node would have nobody to connect to.
    """
    daemon = daemon_for(path, direct or bool(peers))
    if daemon is not None:
        return ThroughDaemon(daemon)
    config, addresses = asking_config(path, peers, "--to", NOWHERE_TO_START)
    quieted = quiet(config)
    gossip = replace(config.gossip, enabled=True, discover=False, trace_file=None, direct=())
    return OwnNode(replace(quieted, gossip=gossip), addresses)


class ThroughDaemon:
    """The running daemon does it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def publish(self, topic: str, data: bytes, show: Show) -> None:
        with _too_long_for_the_api(len(data)):
            show(self._daemon.ask("POST", "/pubsub/publish", {"topic": topic, "data": _encoded(data)}))

    def publish_many(self, topic: str, batches: Batches, show: Show) -> None:
        for batch in batches:
            body = {"topic": topic, "messages": [_encoded(each) for each in batch]}
            with _too_long_for_the_api(max(map(len, batch))):
                for line in self._daemon.lines("/pubsub/publish-many", body):
                    show(line)

    def subscribe(self, topic: str, own: bool, show: ShowMore) -> None:
        for line in self._daemon.lines("/pubsub/subscribe", {"topic": topic, "own": own}):
            if not show(line):
                return
        raise Closed("the daemon ended the subscription")


class OwnNode:
    """A node with an identity of its own, which ends with the request."""

    def __init__(self, config: Config, addresses: Sequence[Multiaddr]) -> None:
        self._config = config
        self._addresses = addresses

    def publish(self, topic: str, data: bytes, show: Show) -> None:
        run_async(self._publish(topic, iter([[data]]), show))

    def publish_many(self, topic: str, batches: Batches, show: Show) -> None:
        run_async(self._publish(topic, batches, show))

    def subscribe(self, topic: str, own: bool, show: ShowMore) -> None:
        run_async(self._subscribe(topic, own, show))

    async def _publish(self, topic: str, batches: Batches, show: Show) -> None:
        from mesh.api.pubsub_exchange import check_topic

        check_topic(topic)
        async with joined(self._config, self._addresses) as node:
            pubsub = node.pubsub
            await _until(lambda: len(pubsub.peers(topic)) >= len(pubsub.peers()), IN_TOPIC_S)
            try:
                async for batch in _from_thread(batches):
                    for each in batch:
                        show({"peers": await pubsub.publish(topic, each), "size": len(each)})
            finally:
                await _gone(node)

    async def _subscribe(self, topic: str, own: bool, show: ShowMore) -> None:
        from mesh.api.pubsub_exchange import Exchange, check_topic

        check_topic(topic)
        async with (
            joined(self._config, self._addresses) as node,
            aclosing(Exchange(node).subscribe(topic, own)) as lines,
        ):
            async for line in lines:
                if not show(line):
                    return


@asynccontextmanager
async def joined(config: Config, addresses: Sequence[Multiaddr]) -> AsyncIterator[Node]:
    """A node that speaks pubsub with at least one of these peers; the others may still come.

    Raises `DialError` with the stage and cause of each when there was none.
    """
    from mesh.node import Node

    async with Node(config) as node:
        joining = {asyncio.create_task(_join(node, each), name="joining") for each in addresses}
        try:
            await _some(joining)
            yield node
        finally:
            for task in joining:
                task.cancel()
            await asyncio.wait(joining)


async def _some(joining: set[asyncio.Task[list[DialFailure]]]) -> None:
    """Return when one has joined and the others have, have failed, or had time for it."""
    failures: list[DialFailure] = []
    waiting = joining
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        results = [task.result() for task in done]
        if not all(results):
            if waiting:
                await asyncio.wait(waiting, timeout=OTHERS_S)
            return
        failures += [failure for each in results for failure in each]
    raise DialError("none of the peers to connect to could be used:", failures)


async def _join(node: Node, address: Multiaddr) -> list[DialFailure]:
    """Speak pubsub with a peer, which is dialled again when all of them are lost; else why not."""
    try:
        connection = await node.connect(address)
    except DialError as error:
        return list(error.failures) or [DialFailure(str(address), "dial", str(error))]
    except MeshError as error:
        return [DialFailure(str(address), "dial", str(error))]
    if connection.identified is not None:
        await asyncio.wait([connection.identified])
    announced, peer = connection.remote_protocols, connection.peer
    if announced is not None and not announced & set(node.config.gossip.protocols):
        return [DialFailure(str(address), STAGE, "the peer does not speak pubsub")]
    if not await _until(lambda: peer in node.pubsub.peers(), SPEAKS_S):
        return [DialFailure(str(address), STAGE, f"no stream to the peer within {SPEAKS_S:g} s")]
    node.bootstrap.add(address)
    return []


async def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for something that nobody tells; whether it came."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def _gone(node: Node) -> None:
    """Wait until peers have what was sent to them: nothing is being written, and pings come back after it."""
    await _until(lambda: not any(task.get_name() == WRITING for task in asyncio.all_tasks()), LEAVE_S)
    await asyncio.gather(*(_reached(node, each) for each in node.connections))


async def _reached(node: Node, connection: Any) -> None:
    with suppress(MeshError):
        async for _time_s in node.ping(connection, PINGS, 0.0):
            pass


async def _from_thread(batches: Batches) -> AsyncGenerator[list[bytes], None]:
    """What a blocking iterator gives. Its thread does not keep the process from ending, and ends once nobody listens."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[list[bytes] | MeshError | None] = asyncio.Queue()
    room, over = threading.Semaphore(), threading.Event()

    def give(item: list[bytes] | MeshError | None) -> bool:
        room.acquire()
        if over.is_set():
            return False
        with suppress(RuntimeError):  # the loop was closed this moment
            loop.call_soon_threadsafe(waiting.put_nowait, item)
        return True

    def run() -> None:
        try:
            if all(map(give, batches)):
                give(None)
        except MeshError as error:
            give(error)

    threading.Thread(target=run, name="messages", daemon=True).start()
    try:
        while (item := await waiting.get()) is not None:
            if isinstance(item, MeshError):
                raise item
            room.release()
            yield item
    finally:
        over.set()
        room.release()


@contextmanager
def _too_long_for_the_api(size: int) -> Iterator[None]:
    try:
        yield
    except MeshError as error:
        if error.code != TooLong.code:
            raise
        raise TooLong(
            f"a message of {size} bytes is too long for the daemon's control API, whatever gossip.max_rpc_bytes says "
            f"({error}); a node of its own sends it: --direct or --to ADDR"
        ) from None


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
