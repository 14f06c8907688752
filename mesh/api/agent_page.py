"""The dashboard: a page of plain HTML, CSS and JavaScript modules that uses the agent API it comes from.

Its policy lets the page load nothing from elsewhere and run no script but these files; what peers wrote reaches it as
JSON and is shown as text alone.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

PREFIX: Final = "/page"
FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "api.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "network.js": "text/javascript; charset=utf-8",
    "people.js": "text/javascript; charset=utf-8",
    "talk.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
}
OPEN_PATHS: Final = frozenset(["/", *(f"{PREFIX}/{name}" for name in FILES)])
"""Nothing in them is secret: they ask for the token themselves where the API does."""
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_page() -> Response:
    """The page."""
    return _file("index.html")


@router.get(PREFIX + "/{name}")
async def show_file(name: str) -> Response:
    """A part of it."""
    return _file(name) if name in FILES else Response("Not found\n", 404, media_type="text/plain")


def _file(name: str) -> Response:
    content = files("mesh.api").joinpath("page", name).read_bytes()
    return Response(content, headers=_HEADERS, media_type=FILES[name])
