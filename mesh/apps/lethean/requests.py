"""Requests of ours and their answers, over whichever link; what comes of them is told to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.apps.lethean.link import Link
from mesh.errors import Closed, MeshError, PeerError, TimedOut
from mesh.protocols.lethean.compat import Strictness
from mesh.protocols.lethean.correlation import CALLS, Requests, read_answer
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.scores import Outcome

Rate = Callable[[str, Outcome], None]


class Correspondence:
    """All requests of a node. ``rate`` hears what came of each, by peer id."""

    def __init__(self, strictness: Strictness, rate: Rate, max_waiting: int) -> None:
        self._requests: Requests[Link] = Requests(strictness, max_waiting)
        self._answers: dict[str, asyncio.Future[Envelope]] = {}
        self._rate = rate

    @property
    def waiting(self) -> int:
        return len(self._requests)

    async def ask(
        self,
        link: Link,
        type: str,
        payload: JsonRecord | None,
        timeout_s: float | None = None,
        *,
        rated: bool = True,
    ) -> JsonRecord:
        """The answer's payload; unless ``rated`` is off, its coming or not counts for the peer.

        Raises `TimedOut`, `Closed`, `LimitError`, and `PeerError` for a failure that the peer reports (``wire_code`` is
        its code) or an answer that is none.
        """
        call = CALLS[type]
        limit_s = call.timeout_s if timeout_s is None else timeout_s
        message = link.message(type, payload)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Envelope] = loop.create_future()
        self._requests.open(message.id, call, link, loop.time())
        self._answers[message.id] = answer
        try:
            async with asyncio.timeout(limit_s):
                await link.send(message)
                reply = await answer
        except TimeoutError as error:
            if rated:
                self._rate(link.peer.id, Outcome.TIMEOUT)
            if isinstance(error, TimedOut):
                raise
            raise TimedOut(
                f"{link.peer.id}: request timeout: no {call.answer} within {limit_s:g} s"
            ) from None
        except Closed:
            if rated:
                self._rate(link.peer.id, Outcome.FAILURE)
            raise
        finally:
            self._requests.close(message.id)
            self._answers.pop(message.id, None)
        return self._judge(link, reply, type)

    def take(self, link: Link, message: Envelope) -> bool:
        """A message that answers something came; whether anybody waited for it."""
        found = self._requests.take(message, link)
        if found is None:
            return False
        answer = self._answers.get(found[0])
        if answer is not None and not answer.done():
            answer.set_result(message)
        return True

    def lose(self, link: Link) -> None:
        """A link ended: whoever waits for an answer on it waits no longer."""
        for id in self._requests.lose(link):
            answer = self._answers.get(id)
            if answer is not None and not answer.done():
                answer.set_exception(Closed(f"{link.peer.id}: the connection ended before the answer came"))

    def _judge(self, link: Link, reply: Envelope, type: str) -> JsonRecord:
        try:
            payload = read_answer(CALLS[type], reply)
        except PeerError as error:
            told = reply.type in ("error", CALLS[type].answer) and "malformed" not in str(error)
            self._rate(link.peer.id, Outcome.SUCCESS if told else Outcome.FAILURE)
            raise PeerError(
                f"{link.peer.id}: {error}", protocol=error.protocol, wire_code=error.wire_code
            ) from None
        self._rate(link.peer.id, Outcome.SUCCESS)
        return payload


def retryable(error: MeshError) -> bool:
    """Whether another worker might do what this one did not: it is gone or silent, not unwilling."""
    return isinstance(error, Closed | TimedOut)
