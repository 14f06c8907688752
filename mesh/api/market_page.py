"""The marketplace's page at `/dashboard`: who offers what, orders, workflows, and this node. It only looks."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from mesh.api.page_files import page_file

PREFIX: Final = "/dashboard"
FILES: Final = {
    "market.js": "market_page",
    "market.css": "market_page",
    "style.css": "page",
    "icon.svg": "page",
    "dom.js": "page",
}
"""Its parts, and the folder that each is in."""

router = APIRouter(include_in_schema=False)


@router.get(PREFIX)
async def show_page() -> Response:
    """The page."""
    return page_file("market_page", "index.html")


@router.get(PREFIX + "/{name}")
async def show_file(name: str) -> Response:
    """A part of it."""
    folder = FILES.get(name)
    if folder is None:
        return Response("Not found\n", 404, media_type="text/plain")
    return page_file(folder, name)
