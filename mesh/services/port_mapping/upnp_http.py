"""HTTP with a router: one request, one answer of bounded size, no redirect, no proxy, no cookie, nothing unpacked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from mesh.errors import Malformed, NetworkError, TimedOut
from mesh.protocols.port_mapping.ssdp import check_url
from mesh.protocols.port_mapping.xml_tree import MAX_BYTES

if TYPE_CHECKING:
    import httpx

REQUEST_S: Final = 5.0
_TAKEN: Final = frozenset((200, 500))
"""500 has a refusal in its body."""
_HEADERS: Final = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "mesh"}


async def fetch(url: str, gateway: str) -> bytes:
    """A document at the router. Raises `NetworkError`, `Malformed`."""
    return await _ask("GET", url, gateway)


async def post(url: str, gateway: str, service: str, action: str, body: bytes) -> bytes:
    """The answer to an action, or the refusal. Raises `NetworkError`, `Malformed`."""
    headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service}#{action}"'}
    return await _ask("POST", url, gateway, body, headers)


async def _ask(
    method: str, url: str, gateway: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    import httpx  # only who asks a router by UPnP pays for it

    check_url(url, gateway)
    try:
        async with (
            asyncio.timeout(REQUEST_S),
            httpx.AsyncClient(verify=False, trust_env=False, follow_redirects=False, timeout=None) as client,
            client.stream(method, url, content=body or None, headers=_HEADERS | (headers or {})) as answer,
        ):
            return await _read(answer)
    except TimeoutError:
        raise TimedOut(f"{url}: no answer within {REQUEST_S:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise NetworkError(f"{url}: {error or type(error).__name__}") from error


async def _read(answer: httpx.Response) -> bytes:
    if answer.status_code not in _TAKEN:
        raise Malformed("upnp answer", None, f"status {answer.status_code}")
    found = bytearray()
    async for piece in answer.aiter_raw():
        found += piece
        if len(found) > MAX_BYTES:
            raise Malformed("upnp answer", None, f"more than {MAX_BYTES} bytes")
    return bytes(found)
