"""An agent API with the shapes of the daemon's specification (section 2.1), in memory, for clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

OWN = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"
ANN = "12D3KooWS4fApw7iYWLHiuU4uf4NhsGH3rdBQBUHJ2sZar3sXSkV"
HOSTILE = "<img src=x onerror=alert(1)>\n\nPeer: forged"


class Stub:
    """What the API holds, and every request it got as (method, path, body)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.services: list[dict[str, Any]] = []
        self.failing = False
        self.messages: list[dict[str, Any]] = [
            message(1, "inbound", "hello from Ann"),
            message(2, "outbound", "hello Ann"),
            message(3, "inbound", HOSTILE),
        ]
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/{path:path}", self._answer, methods=["GET", "POST", "PUT", "DELETE"])

    async def _answer(self, request: Request, path: str) -> JSONResponse:
        sent = await request.body()
        body = await request.json() if sent else None
        self.asked.append((request.method, request.scope["raw_path"].decode(), body))
        if self.failing:
            return JSONResponse({"error": "the disk is full\nError: forged"}, 503)
        found = self._found(request.method, path, body)
        return JSONResponse(found if found is not None else {"error": "Not found"}, 200 if found else 404)

    def _found(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        match method, path:
            case "GET", "status":
                return {"peerId": OWN, "relayAddress": None, "isHealthy": True, "connectedPeers": 1}
            case "GET", "discover":
                return {"peers": [found_peer()], "query": {}, "total": 1}
            case "GET", "messages":
                return {"messages": self.messages[::-1], "total": 3, "limit": 20, "offset": 0}
            case "GET", "messages/conversations":
                return {"conversations": [conversation()]}
            case "GET", "services":
                return {"services": self.services, "count": len(self.services)}
            case "GET", "peers/tracked":
                return {"peers": [tracked()]}
            case "GET", "status/network":
                return {"self": node_status(OWN), "peers": [node_status(ANN)], "lastBroadcast": None}
            case "POST", "send":
                return {"success": True, "from": OWN, "messageId": "1-abc", "state": "queued"}
            case "POST", "pay":
                return {"success": True, "txid": body["txid"], "amount": body["amount"], "beef": False}
            case "POST", "request":
                return {"success": True, "result": {"poem": HOSTILE}}
            case "POST", "services":
                self.services.append(body)
                return {"success": True, "service": body}
            case _:
                return self._of_one(method, path, body)

    def _of_one(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        first, *rest = path.split("/")
        if first == "peers" and rest[-1] in (ANN, "name", "notes", "tags"):
            return tracked()
        if first == "services" and method == "DELETE":
            return {"success": True, "serviceId": rest[0], "message": "Service unregistered"}
        if first == "messages" and rest[-1] == "resumed":
            return {"success": True} if body == {"token": "right"} else None
        if first == "messages" and rest[-1] == "why":
            return {"messageId": rest[0], "steps": [{"state": "queued"}]}
        return None


def message(row: int, direction: str, content: str) -> dict[str, Any]:
    return {
        "id": row,
        "peerId": ANN,
        "peerName": "Ann",
        "direction": direction,
        "content": content,
        "messageType": "text",
        "timestamp": 1_795_198_599_793 + row,
        "sessionId": None,
        "metadata": None,
    }


def conversation() -> dict[str, Any]:
    return {
        "peerId": ANN,
        "peerName": "Ann",
        "lastMessage": HOSTILE,
        "lastTimestamp": 1_795_198_599_796,
        "messageCount": 3,
        "unreadCount": 2,
    }


def found_peer() -> dict[str, Any]:
    poem = {"id": "poem", "name": HOSTILE, "description": "Poems to order", "price": 5, "currency": "bsv"}
    return {
        "peerId": ANN,
        "multiaddrs": ["/ip4/127.0.0.1/tcp/4001"],
        "services": [poem],
        "bsvIdentityKey": "",
        "lastSeen": 1_795_198_599_793,
    }


def tracked() -> dict[str, Any]:
    counts = ("messagesSent", "messagesReceived", "paymentsSent", "paymentsReceived", "totalSatsSent")
    times = ("lastSeen", "firstSeen", "lastConnected", "lastDisconnected")
    return {
        "peerId": ANN,
        "name": HOSTILE,
        **dict.fromkeys(times, 1_795_198_599_793),
        **dict.fromkeys(counts, 2),
        "totalSatsReceived": 0,
        "isOnline": True,
        "services": ["poem"],
        "multiaddrs": [],
        "notes": "met at the fair",
        "tags": ["friend"],
    }


def node_status(peer_id: str) -> dict[str, Any]:
    return {
        "peerId": peer_id,
        "name": HOSTILE,
        "multiaddrs": [],
        "services": ["poem"],
        "version": "0.1.0",
        "uptime": 61,
        "connectedPeers": 3,
        "timestamp": 1_795_198_599_793,
    }


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an application on loopback; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
