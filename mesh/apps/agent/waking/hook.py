"""The gateway's web hook: `POST /hooks/agent`, and `POST /hooks/wake` when that does not say 2xx (section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.agent.waking.queue import Batch
from mesh.apps.agent.waking.waking import CallFailed

if TYPE_CHECKING:
    import httpx

AGENT_PATH: Final = "/hooks/agent"
WAKE_PATH: Final = "/hooks/wake"
CONNECT_S: Final = 5.0
AGENT_TIMEOUT_S: Final = 120
"""How long the gateway may let the agent run, as stock daemons ask."""
MAX_RETRY_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the hook is and what a call of it names. ``token`` never leaves but in the request's header."""

    url: str
    token: str = field(repr=False)
    timeout_s: float = 30.0
    mode: str = "now"
    model: str = ""
    thinking: str = ""


class WebHook:
    """A channel over HTTP. No redirect is followed and no proxy of the environment asked: the token goes to one place."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._url = gateway.url.rstrip("/")
        self._client: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return f"web hook of {self._url}"

    async def call(self, text: str, batch: Batch) -> str:
        """Call the agent's hook, else the wake hook, both with the batch's key; the evidence. Raises CallFailed."""
        gateway = self._gateway
        body: dict[str, Any] = {
            "message": text,
            "name": "P2P",
            "sessionKey": "p2p-messages",
            "wakeMode": gateway.mode,
            "deliver": True,
            "timeoutSeconds": AGENT_TIMEOUT_S,
        }
        body |= {
            name: value for name, value in (("model", gateway.model), ("thinking", gateway.thinking)) if value
        }
        try:
            return await self._post(AGENT_PATH, body, batch)
        except CallFailed as first:
            try:
                return await self._post(WAKE_PATH, {"text": text, "mode": gateway.mode}, batch)
            except CallFailed as second:
                waits = [each.retry_after_s for each in (first, second) if each.retry_after_s is not None]
                raise CallFailed(f"{first}; {second}", max(waits, default=None)) from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, path: str, body: Mapping[str, Any], batch: Batch) -> str:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False)
        headers = {"authorization": f"Bearer {self._gateway.token}", "idempotency-key": batch.key}
        limits = httpx.Timeout(self._gateway.timeout_s, connect=min(CONNECT_S, self._gateway.timeout_s))
        try:
            async with (
                asyncio.timeout(self._gateway.timeout_s),
                self._client.stream(
                    "POST", self._url + path, json=body, headers=headers, timeout=limits
                ) as answer,
            ):
                status = answer.status_code
                wait_s = _retry_after(answer.headers.get("retry-after", ""))
        except (TimeoutError, httpx.TimeoutException):
            raise CallFailed(f"{path}: no answer within {self._gateway.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CallFailed(f"{path}: {_cause(error)}") from None
        if 200 <= status < 300:
            return f"hook {path} {status}"
        raise CallFailed(f"{path}: {status} {_phrase(status)}{_remedy(status)}", wait_s)


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header; its other form, a date, is left aside."""
    return (
        min(float(text), MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() and len(text) < 10 else None
    )


def _cause(error: Exception) -> str:
    """Why a request failed, from the kind of error alone: its words may quote what was sent."""
    import httpx

    return "cannot connect" if isinstance(error, httpx.ConnectError) else type(error).__name__


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(unknown status)"


def _remedy(status: int) -> str:
    if status in (401, 403):
        return " (check agent.gateway_token_file)"
    return (
        " (redirects are not followed: set agent.gateway_url to where it leads)"
        if 300 <= status < 400
        else ""
    )
