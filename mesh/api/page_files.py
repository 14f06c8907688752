"""Files of a page that come with the program. A page may load nothing from elsewhere and run no script but its own files;
what peers wrote reaches it as JSON and is shown as text alone."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi.responses import Response

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "js": "text/javascript; charset=utf-8",
}
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


def page_file(folder: str, name: str) -> Response:
    """A file of one of the pages; ``name`` is one that the page has."""
    content = files("mesh.api").joinpath(folder, name).read_bytes()
    return Response(content, headers=_HEADERS, media_type=TYPES[name.rpartition(".")[2]])
