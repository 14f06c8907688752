"""Objects as they come: one JSON object a line, an error at the end of what cannot go on."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse

from mesh.api.problem import problem_of
from mesh.errors import MeshError

NDJSON = "application/x-ndjson"


def streamed(objects: AsyncGenerator[Mapping[str, Any], None]) -> StreamingResponse:
    """An answer of these objects; a `MeshError` becomes a last line of type `error`."""
    return StreamingResponse(_lines(objects), media_type=NDJSON)


async def _lines(objects: AsyncGenerator[Mapping[str, Any], None]) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(objects):
            async for each in objects:
                yield _line(each)
    except MeshError as error:
        yield _line({"type": "error", "problem": problem_of(error)})


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
