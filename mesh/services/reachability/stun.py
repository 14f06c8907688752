"""STUN servers asked: what they see this node as, and what kind of NAT that means (RFC 8489, RFC 5780).

Only servers that are configured are asked. The mapping is tested from the socket that QUIC listens on, so that what
comes of it is worth announcing; the filtering always from fresh ones, which have talked to nobody.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from mesh.config import StunSection
from mesh.errors import NetworkError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.interfaces import interface_addresses
from mesh.network.quic.transport import Port
from mesh.network.resolver import Resolver
from mesh.network.swarm import Swarm
from mesh.protocols.stun.behaviour import Behaviour, BehaviourTest, Question
from mesh.protocols.stun.message import Answer, HostPort
from mesh.protocols.stun.transaction import MOST_SENT, RTO_S, Transaction
from mesh.services.reachability.stun_sockets import OwnSocket, SharedSocket, StunSocket
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

SILENCE_REQUESTS: Final = 3
"""Requests until silence is believed where silence tells something."""
MAX_SERVERS: Final = 8
_FAMILIES: Final = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}

Seen = Callable[[Multiaddr, Multiaddr, Multiaddr], None]
"""Told our socket, the server, and the outside address it saw."""


class StunTests:
    """`behaviours` has the latest finding by family, `ip4` and `ip6`. ``swarm`` gives the running node's connections."""

    def __init__(
        self, settings: StunSection, swarm: Callable[[], Swarm], seen: Seen, counters: Counters
    ) -> None:
        self._settings = settings
        self._swarm = swarm
        self._seen = seen
        self._counters = counters
        self._resolver = Resolver()
        self._turn = asyncio.Lock()
        self.behaviours: dict[str, Behaviour] = {}
        self.rto_s = RTO_S
        self.most_sent = MOST_SENT

    async def run(self) -> None:
        """Test now and again, for ever."""
        while True:
            await self.test()
            await asyncio.sleep(self._settings.interval_s)

    async def test(self) -> dict[str, Behaviour]:
        """Ask the servers, and return what was found by family. One test runs at a time."""
        async with self._turn:
            servers = await self._resolve()
            for family, asked in servers.items():
                if asked:
                    self.behaviours[family] = await self._test(family, asked)
        return self.behaviours

    async def _resolve(self) -> dict[str, list[HostPort]]:
        found: dict[str, list[HostPort]] = {"ip4": [], "ip6": []}
        for text in self._settings.servers[:MAX_SERVERS]:
            host, _, port = text.rpartition(":")
            host = host.strip("[]")
            try:
                name = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdigit() else "dns"
                addresses = await self._resolver.resolve(Multiaddr.parse(f"/{name}/{host}/udp/{port}"))
            except (NetworkError, ValueError) as error:
                self._counters.count("stun.failed:resolve")
                log.info("STUN server %s: %s", text, error)
                continue
            for each in addresses:
                family, numeric = each.components[0].name, each.components[0].text
                found[family].append((numeric, int(port)))
        return found

    async def _test(self, family: str, servers: list[HostPort]) -> Behaviour:
        shared = next((each for each in self._swarm().udp_ports if each.family == _FAMILIES[family]), None)
        main: StunSocket = SharedSocket(shared) if shared else await OwnSocket.open(_FAMILIES[family])
        fresh: StunSocket | None = None
        four, six = interface_addresses()
        test = BehaviourTest(servers, frozenset((*four, *six)), main.port)
        try:
            while (question := test.question) is not None:
                if question.fresh and fresh is None:
                    fresh = await OwnSocket.open(_FAMILIES[family])
                answer = await self._ask(fresh if question.fresh and fresh else main, question)
                test.note(answer)
        finally:
            main.close()
            if fresh is not None:
                fresh.close()
        if shared is not None:
            self._tell(shared, test.seen)
        return test.result

    def _tell(self, port: Port, seen: Iterable[tuple[HostPort, HostPort]]) -> None:
        for server, outside in seen:
            self._seen(port.towards(server), Multiaddr.from_udp(*server), Multiaddr.from_udp(*outside))

    async def _ask(self, own: StunSocket, question: Question) -> Answer | None:
        """The answer to one question, None for silence."""
        silent = question.silence_tells
        transaction = Transaction(
            secrets.token_bytes(12),
            question.sources,
            time.monotonic(),
            change_address=question.change_address,
            change_port=question.change_port,
            rto_s=self.rto_s,
            most_sent=min(self.most_sent, SILENCE_REQUESTS) if silent else self.most_sent,
        )
        arrived = asyncio.Event()

        def take(datagram: bytes, source: HostPort) -> bool:
            if not transaction.receive(datagram, source):
                self._counters.count("stun.ignored")
                return False
            arrived.set()
            return True

        own.taker = take
        try:
            while (deadline := transaction.deadline()) is not None:
                try:
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await arrived.wait()
                except TimeoutError:
                    now = time.monotonic()
                    transaction.wake(now)
                    if (request := transaction.output(now)) is not None:
                        own.send(request, question.server)
        finally:
            own.taker = None
        answer = transaction.answer
        self._counters.count(
            f"stun.{'silent' if answer is None else 'refused' if answer.error else 'answered'}"
        )
        return answer
