"""A node of the Lethean mesh: it listens, dials, keeps one connection a peer, and answers and asks over them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from mesh.apps.lethean.carrier import Carrier
from mesh.apps.lethean.duplicates import COMMANDS_REMEMBERED_S, REMEMBERED_S, Duplicates
from mesh.apps.lethean.handshaking import Manners, dial_peer
from mesh.apps.lethean.instant import stamp, unix_ms
from mesh.apps.lethean.link import Link, Terms
from mesh.apps.lethean.reception import Reception
from mesh.apps.lethean.requests import Correspondence
from mesh.apps.lethean.worker import Worker
from mesh.apps.lifetime import Lifetime
from mesh.config import LetheanSection
from mesh.errors import (
    DecodeError,
    DialError,
    LimitError,
    MeshError,
    UsageError,
)
from mesh.network.scope import Scope
from mesh.protocols.lethean.allowlist import AuthMode
from mesh.protocols.lethean.compat import strictness
from mesh.protocols.lethean.dedup import SeenMessages
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.handshake import Accepted, Own
from mesh.protocols.lethean.identity import Identity
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import PAYLOADS, DisconnectCode, ErrorCode, ErrorReply, Ping, Pong
from mesh.protocols.lethean.peer import Peer
from mesh.protocols.lethean.registry import PeerRegistry
from mesh.protocols.lethean.routing import COMMANDS, GUARDED, Route, route, stays
from mesh.protocols.lethean.scores import Outcome
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)


class LetheanNode(Lifetime):
    """One identity on the mesh, for the length of an `async with`.

    ``worker`` answers commands, none without one. ``seen`` outlives the node where it has a file. ``server_tls`` makes
    the listener speak TLS, ``client_tls`` the dialler.
    """

    def __init__(
        self,
        section: LetheanSection,
        own: Own,
        *,
        registry: PeerRegistry | None = None,
        worker: Worker | None = None,
        seen: Duplicates | None = None,
        counters: Counters | None = None,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.section = section
        self.own = own
        self.counters = Counters() if counters is None else counters
        self.links: dict[str, Link] = {}
        self._strictness = strictness(section.compat)
        self.registry = PeerRegistry(self._strictness, section.max_peers) if registry is None else registry
        self.registry.mode = AuthMode.ALLOWLIST if section.mode == "allowlist" else AuthMode.OPEN
        for key in section.allow:
            self.registry.allowlist.allow(key)
        self.worker = worker
        self._seen = Duplicates(None) if seen is None else seen
        self._server_tls = server_tls
        self._manners = Manners(own, section, self._strictness, self.counters, self._admits, client_tls)
        self._all: set[Link] = set()
        self._reception: Reception | None = None
        self._scope: Scope | None = None
        self._correspondence = Correspondence(self._strictness, self._rate, section.max_requests)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="lethean")
        self._changed: list[Callable[[Link, bool], None]] = []
        self._extensions: dict[str, Callable[[Link, Envelope], Awaitable[None]]] = {}

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, if the settings say so. Raises `AddressInUse`, `NetworkError`."""
        if self._scope is not None:
            raise UsageError("the node runs already")
        self._scope = Scope(f"lethean {self.own.identity.id}")
        self._terms = Terms(
            own_id=self.own.identity.id,
            seen=SeenMessages(),
            strictness=self._strictness,
            executor=self._executor,
            ping_interval_s=self.section.ping_interval_s,
            pong_timeout_s=self.section.pong_timeout_s,
            handle=self._handle,
            proven=self._adopt,
            is_new=self._is_new,
        )
        self._reception = Reception(
            self._manners, self._scope, lambda: self.connections, self._live, self._server_tls
        )
        if self.section.listen != "off":
            await self._reception.listen(self.section.listen)

    async def stop(self) -> None:
        """Say goodbye to all peers and end everything."""
        scope, self._scope = self._scope, None
        reception = self._reception
        if scope is None or reception is None:
            return
        reception.stop_listening()
        code = int(DisconnectCode.SERVER_SHUTDOWN)
        await asyncio.gather(*(link.leave(code, "server shutdown") for link in list(self._all)))
        await scope.close()
        await reception.close()
        self._executor.shutdown()
        self._seen.close()

    def abandon(self) -> None:
        """Let go of a node that was never started."""
        self._executor.shutdown()
        self._seen.close()

    @property
    def scope(self) -> Scope:
        """The owner of the node's tasks. Raises `UsageError` while it does not run."""
        if self._scope is None:
            raise UsageError("the Lethean node does not run")
        return self._scope

    @property
    def listen_address(self) -> str:
        """``host:port`` where it listens; empty when it does not."""
        return "" if self._reception is None else self._reception.address

    @property
    def connections(self) -> int:
        """Connections that had their handshake, both ways."""
        return len(self._all)

    def on_change(self, tell: Callable[[Link, bool], None]) -> None:
        """Have ``tell`` called with each link that begins (True) or ends (False) to be its peer's."""
        self._changed.append(tell)

    def extend(self, type: str, handle: Callable[[Link, Envelope], Awaitable[None]]) -> None:
        """Have messages of a type that Go nodes do not know dealt with. Raises `UsageError` for a type of the mesh."""
        if type in PAYLOADS or type in COMMANDS:
            raise UsageError(f"{type} is a type of the mesh itself")
        self._extensions[type] = handle

    # -- peers -------------------------------------------------------------------------------------------------------

    async def connect(self, address: str, peer_id: str = "", peer_key: str = "") -> Link:
        """The connection to a peer, dialled at ``host:port`` unless it is there. Raises `DialError`."""
        present = self.links.get(peer_id)
        if present is not None and not present.ended:
            return present
        scope, reception = self.scope, self._reception
        assert reception is not None
        try:
            carrier, accepted = await dial_peer(address, self._manners, peer_id, peer_key, reception.keep)
        except DialError:
            self.counters.count("lethean.dial:failed")
            self._rate(peer_id, Outcome.FAILURE)
            raise
        link = Link(carrier, accepted, self._terms, dialled=True)
        self._adopt(link)
        self.counters.count("lethean.dial:done")
        self._note_address(link.peer, address)
        scope.spawn(self._run(link), f"link to {link.peer.id}")
        scope.spawn(self._greet(link), f"greeting of {link.peer.id}")
        return self.links.get(link.peer.id, link)

    async def reach(self, peer_id: str) -> Link:
        """The connection to a known peer; it is dialled if need be. Raises `DialError`, `UsageError`."""
        present = self.links.get(peer_id)
        if present is not None and not present.ended:
            return present
        known = self.registry.get(peer_id)
        if known is None:
            raise UsageError(f"peer {peer_id} not found")
        if not known.address:
            raise UsageError(f"peer {peer_id} is not connected, and no address of it is known")
        return await self.connect(known.address, peer_id, known.public_key)

    async def ask(
        self, link: Link, type: str, payload: JsonRecord | None, timeout_s: float | None = None
    ) -> JsonRecord:
        """The payload of a peer's answer; see `Correspondence.ask`."""
        return await self._correspondence.ask(link, type, payload, timeout_s)

    async def measure(self, link: Link, *, rated: bool = True) -> float:
        """The round trip of a ping in milliseconds, which is noted. Raises like `ask`."""
        begun = time.perf_counter()
        await self._correspondence.ask(link, "ping", Ping(sent_at_ms=unix_ms()), rated=rated)
        took_ms = (time.perf_counter() - begun) * 1000
        known = self.registry.get(link.peer.id)
        if known is not None:
            self.registry.update_metrics(
                known.id, time.monotonic(), stamp(), ping_ms=took_ms, hops=known.hops, geo_km=known.geo_km
            )
        return took_ms

    # -- links -------------------------------------------------------------------------------------------------------

    async def _live(self, carrier: Carrier, accepted: Accepted) -> None:
        link = Link(carrier, accepted, self._terms, dialled=False)
        if link.intake.proven:
            self._adopt(link)
        await self._run(link)

    def _admits(self, claimed: Identity) -> bool:
        return claimed.id != self.own.identity.id and self.registry.admits(claimed)

    async def _greet(self, link: Link) -> None:
        """The first sealed message proves our key to the listener; its answer is the first measurement."""
        with contextlib.suppress(MeshError):
            await self.measure(link, rated=False)

    async def _run(self, link: Link) -> None:
        """A link's life, from its handshake on."""
        self._all.add(link)
        try:
            await link.run()
        finally:
            self._all.discard(link)
            self._correspondence.lose(link)
            for cause, count in link.intake.dropped.items():
                if count:
                    self.counters.count(f"lethean.dropped:{cause.value}", count)
            self.counters.count("lethean.taken", link.intake.taken)
            self.counters.count("lethean.link:ended")
            if self.links.get(link.peer.id) is link:
                del self.links[link.peer.id]
                self.registry.set_connected(link.peer.id, False, stamp())
                self._tell(link, False)

    def _adopt(self, link: Link) -> None:
        """A link is proven to be its peer's: one of two is kept, save where Go's ways are wanted."""
        peer = link.peer
        self.registry.register(peer, time.monotonic(), stamp())
        present = self.links.get(peer.id)
        if (
            present is not None
            and present is not link
            and not present.ended
            and self._strictness.one_connection
        ):
            ours = self.own.identity.id
            if present.dialled != link.dialled and not stays(ours, peer.id, link.dialled):
                link.end("another connection to this peer is kept")
                return
            present.end("a newer connection to this peer took its place")
        self.links[peer.id] = link
        self.registry.set_connected(peer.id, True, stamp())
        self.counters.count("lethean.link:dialled" if link.dialled else "lethean.link:accepted")
        self._tell(link, True)

    def _tell(self, link: Link, begun: bool) -> None:
        log.info(
            "connection %s", "begins" if begun else "ended", extra={"peer": link.peer.id, "at": link.address}
        )
        for tell in self._changed:
            tell(link, begun)

    def _is_new(self, message: Envelope) -> bool:
        remember_s = COMMANDS_REMEMBERED_S if message.type in GUARDED else REMEMBERED_S
        if self._seen.is_new(message.id, time.time(), remember_s):
            return True
        self.counters.count("lethean.dropped:replayed")
        return False

    async def _handle(self, link: Link, message: Envelope) -> None:
        where = route(message)
        if where is Route.ANSWER:
            self._correspondence.take(link, message)
            return
        extension = self._extensions.get(message.type)
        if extension is not None:
            await extension(link, message)
            return
        if where is Route.NOBODY:
            return
        if self.worker is None:
            if message.type == "ping":
                with contextlib.suppress(DecodeError):
                    pong = Pong(sent_at_ms=message.payload(Ping).sent_at_ms, received_at_ms=unix_ms())
                    await link.reply(message, "pong", pong)
            return
        answer = await self.worker.answer(message, link.peer.id, link.session.password)
        if answer is not None:
            self.counters.count(f"lethean.answered:{answer[0]}")
            level = logging.DEBUG if message.type == "ping" else logging.INFO
            log.log(level, "%s was answered by %s", message.type, answer[0], extra={"peer": link.peer.id})
            try:
                await link.reply(message, *answer)
            except LimitError as error:
                failed = ErrorReply(code=int(ErrorCode.OPERATION_FAILED), message=str(error))
                await link.reply(message, "error", failed)

    # -- what is known of peers --------------------------------------------------------------------------------------

    def _rate(self, peer_id: str, outcome: Outcome) -> None:
        if self._scope is None:
            return
        self.counters.count(f"lethean.request:{outcome.value}")
        self.registry.rate(peer_id, outcome, time.monotonic(), stamp())

    def _note_address(self, identity: Identity, address: str) -> None:
        known = self.registry.get(identity.id)
        if known is None or known.address == address:
            return
        self.registry.update(
            Peer(
                **{
                    **{key.attribute: getattr(known, key.attribute) for key in Peer.KEYS},
                    "address": address,
                    "name": identity.name,
                    "role": identity.role,
                    "public_key": identity.public_key,
                }
            ),
            time.monotonic(),
        )
