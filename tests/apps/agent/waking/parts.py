"""What a wake needs around it: a database, a gateway on loopback that answers as told, a log of messages."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mesh.apps.agent.records import Direction, MessageRecord, TrackedPeer
from mesh.apps.agent.waking import queue
from mesh.apps.agent.waking.queue import Batch
from mesh.apps.agent.waking.waking import Background, Waking
from mesh.errors import StorageError

T = TypeVar("T")
ANN = "12D3KooWS4fApw7iYWLHiuU4uf4NhsGH3rdBQBUHJ2sZar3sXSkV"
BOB = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"


class Database:
    """A file with the queue's tables, as the store runs transactions on its own; ``broken`` makes them fail."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path)
        self.broken = False
        for statement in queue.SCHEMA:
            self.connection.execute(statement)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self.broken:
            raise StorageError("the disk is full")
        with self.connection:
            return work(self.connection)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self.write(work)


class Log:
    """Messages as the store keeps them, and what a wake asks of them."""

    def __init__(self) -> None:
        self.records: dict[int, MessageRecord] = {}

    def add(self, peer: str, content: str) -> MessageRecord:
        row = len(self.records) + 1
        now = round(time.time() * 1000)
        record = MessageRecord(row, peer, Direction.INBOUND, content, "text", now, message_id=f"{row}-id")
        self.records[row] = record
        return record

    async def background(self, batch: Batch) -> Background:
        told = [self.records[each.message] for each in batch.wakes if each.message in self.records]
        recent = [each for each in self.records.values() if each.peer_id == batch.peer_id]
        return Background(told, TrackedPeer(batch.peer_id, "friend", 1), recent[-10:], len(recent))


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


async def receive(waking: Waking, database: Database, records: Sequence[MessageRecord]) -> None:
    """What the inbox does with messages: store, queue in the same transaction, then tell the waker."""

    def work(connection: sqlite3.Connection) -> None:
        for record in records:
            waking.enqueue(connection, record)

    await database.write(work)
    waking.kick()
