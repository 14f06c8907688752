"""The agent's dashboard: a page of plain HTML, CSS and JavaScript modules that uses the agent API it comes from."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from mesh.api.page_files import page_file

PREFIX: Final = "/page"
FOLDER: Final = "page"
FILES: Final = (
    "index.html",
    "style.css",
    "icon.svg",
    "api.js",
    "dom.js",
    "main.js",
    "network.js",
    "people.js",
    "talk.js",
    "words.js",
)
OPEN_PATHS: Final = frozenset(["/", *(f"{PREFIX}/{name}" for name in FILES)])
"""Nothing in them is secret: they ask for the token themselves where the API does."""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_page() -> Response:
    """The page."""
    return page_file(FOLDER, "index.html")


@router.get(PREFIX + "/{name}")
async def show_file(name: str) -> Response:
    """A part of it."""
    return page_file(FOLDER, name) if name in FILES else Response("Not found\n", 404, media_type="text/plain")
