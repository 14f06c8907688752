"""One receive buffer for all connections of an event loop, whichever node they belong to.

A loop fills it and hands it on within one callback, so it is never in use twice at a time; a connection copies what it
has to keep. It goes with its loop.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

RECEIVE_BUFFER_BYTES = 512 * 1024

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def receive_buffer() -> memoryview:
    """The running loop's buffer, 512 KiB."""
    loop = asyncio.get_running_loop()
    found = _buffers.get(loop)
    if found is None:
        found = _buffers[loop] = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
    return found
