"""What a wake needs around it: a gateway on loopback that answers as told, messages that come in."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from mesh.apps.agent.records import Direction, MessageRecord
from mesh.apps.agent.store import AgentStore, address_book, message_log
from mesh.apps.agent.waking.waking import Waking
from mesh.errors import StorageError

T = TypeVar("T")
ANN = "12D3KooWS4fApw7iYWLHiuU4uf4NhsGH3rdBQBUHJ2sZar3sXSkV"
BOB = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"


class Failing:
    """A store that cannot be written while ``broken``."""

    def __init__(self, store: AgentStore) -> None:
        self._store = store
        self.broken = False

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self.broken:
            raise StorageError("the disk is full")
        return await self._store.write(work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._store.read(work)


def receive(waking: Waking, database: sqlite3.Connection, peer: str, contents: Sequence[str]) -> list[int]:
    """What the inbox does with messages in one transaction; their rows. Ids are `<row>-id`."""
    rows = []
    for content in contents:
        now = round(time.time() * 1000)
        record = message_log.add(database, MessageRecord(0, peer, Direction.INBOUND, content, "text", now))
        record = replace(record, message_id=f"{record.id}-id")
        database.execute("UPDATE messages SET message_id = ? WHERE id = ?", (record.message_id, record.id))
        address_book.exchanged(database, peer, Direction.INBOUND, now)
        waking.enqueue(database, record)
        rows.append(record.id)
    return rows


@dataclass
class Call:
    """A request that the gateway got."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body.get("message") or self.body.get("text"))


@dataclass
class Gateway:
    """Answers each call with the next of ``answers``, then with ``usual``; None never does, "cut" ends the connection."""

    usual: int | str | None = 200
    answers: list[int | str | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    headers: str = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.calls.append(Call(first.split()[1], headers, body))
            answer = self.answers.pop(0) if self.answers else self.usual
            if answer is None:
                await self._ended.wait()
            elif answer != "cut":
                writer.write(
                    f"HTTP/1.1 {answer} x\r\ncontent-length: 2\r\nconnection: close\r\n{self.headers}\r\nok".encode()
                )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()
