"""What the receiver's hook wakes: `python -m tools.soak.agents.target FILE PORT`.

It remembers on disk, before it answers, which idempotency keys it acted on and for which messages; a key that it knows
has no effect. Then it confirms each message at the receiver's API, again and again until that works.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import sys
from pathlib import Path

import httpx
import uvloop

from tools.bench import lines

TABLES = """
CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS effects (message_id TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS confirmations (
    message_id TEXT PRIMARY KEY, url TEXT NOT NULL, body TEXT NOT NULL, tried INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0
);
"""
CONFIRM = re.compile(r"curl -s -X POST (\S+/messages/([^/\s]+)/resumed) .*? -d '(.*?)'$", re.MULTILINE)
CONFIRM_AGAIN_S = 0.5
CONFIRM_AT_ONCE = 16
MAX_BODY_BYTES = 8 * 1024 * 1024


class Target:
    """The agent that is waked."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.executescript(TABLES)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = dict(
                    line.split(": ", 1)
                    for line in head.decode("latin-1").lower().split("\r\n")[1:]
                    if ": " in line
                )
                body = await reader.readexactly(min(int(headers.get("content-length", "0")), MAX_BODY_BYTES))
                self.act(headers["idempotency-key"], json.loads(body).get("message", ""))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    def act(self, key: str, text: str) -> None:
        """The effect of a wake: once for each key."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        known = database.execute(
            "INSERT INTO calls VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1 RETURNING count > 1",
            (key,),
        ).fetchone()[0]
        if not known:
            for url, message_id, body in CONFIRM.findall(text):
                database.execute(
                    "INSERT INTO effects VALUES (?, 1) ON CONFLICT (message_id) DO UPDATE SET count = count + 1",
                    (message_id,),
                )
                database.execute(
                    "INSERT OR IGNORE INTO confirmations (message_id, url, body) VALUES (?, ?, ?)",
                    (message_id, url, body),
                )
        database.execute("COMMIT")

    async def confirm(self) -> None:
        """Tell the receiver of each message that was acted on. For ever."""
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while True:
                rows = self._database.execute(
                    f"SELECT message_id, url, body FROM confirmations WHERE NOT done LIMIT {CONFIRM_AT_ONCE}"
                ).fetchall()
                done = await asyncio.gather(*(self._confirm_one(client, *row) for row in rows))
                if not all(done) or len(rows) < CONFIRM_AT_ONCE:
                    await asyncio.sleep(CONFIRM_AGAIN_S)

    async def _confirm_one(self, client: httpx.AsyncClient, message_id: str, url: str, body: str) -> bool:
        self._database.execute("UPDATE confirmations SET tried = 1 WHERE message_id = ?", (message_id,))
        try:
            answer = await client.post(url, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        self._database.execute("UPDATE confirmations SET done = 1 WHERE message_id = ?", (message_id,))
        return True


async def main(file: str, port: str) -> None:
    """Serve until the end of the input."""
    target = Target(Path(file))
    server = await asyncio.start_server(target.serve, "127.0.0.1", int(port), limit=MAX_BODY_BYTES)
    confirming = asyncio.create_task(target.confirm())
    lines.say({"event": "ready", "peer": "", "addrs": []})
    async with server:
        await lines.serve({})
    confirming.cancel()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
