"""The controller's calls by name, with plain values in and out: what control API and command line share."""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mesh.apps.lethean.controller import BEST, Controller
from mesh.apps.lethean.link import Link
from mesh.errors import UsageError
from mesh.protocols.lethean import bundle
from mesh.protocols.lethean.json_record import JsonRecord
from mesh.protocols.lethean.messages import Deploy

NONCES_BYTES: Final = 48
Asked = Mapping[str, Any]
Answer = dict[str, Any]


async def run_errand(controller: Controller, verb: str, asked: Asked) -> Answer:
    """Do one call; ``asked`` has `target` (`best` without one) and what the verb needs. The answer says which `peer` did
    it, and `passed_over` who could not. Raises what the call raises, `UsageError` for an unknown verb."""
    errand = ERRANDS.get(verb)
    if errand is None:
        raise UsageError(f"{verb} is none of {', '.join(ERRANDS)}")
    target = asked.get("target") or BEST

    async def call(link: Link) -> Answer:
        return await errand(controller, link, asked)

    done = await controller.on(target, call)
    assert isinstance(done.result, dict)
    answer: Answer = {"peer": done.peer, **done.result}
    if done.passed_over:
        answer["passed_over"] = dict(done.passed_over)
    return answer


async def _connect(controller: Controller, link: Link, asked: Asked) -> Answer:
    peer = link.peer
    return {"name": peer.name, "role": peer.role, "address": link.address, "public_key": peer.public_key}


async def _ping(controller: Controller, link: Link, asked: Asked) -> Answer:
    return {"rtt_ms": await controller.ping(link)}


async def _stats(controller: Controller, link: Link, asked: Asked) -> Answer:
    return _as_object(await controller.stats(link))


async def _start(controller: Controller, link: Link, asked: Asked) -> Answer:
    config = asked.get("config")
    text = None if config is None else json.dumps(config)
    name = await controller.start(link, str(asked.get("type", "")), text, str(asked.get("profile") or ""))
    return {"miner": name}


async def _stop(controller: Controller, link: Link, asked: Asked) -> Answer:
    return {"miner": await controller.stop(link, str(asked.get("miner", "")))}


async def _logs(controller: Controller, link: Link, asked: Asked) -> Answer:
    lines, since_ms = int(asked.get("lines") or 100), int(asked.get("since_ms") or 0)
    found = await controller.logs(link, str(asked.get("miner", "")), lines, since_ms)
    return {"miner": found.miner_name, "lines": found.lines or [], "has_more": found.has_more}


async def _deploy(controller: Controller, link: Link, asked: Asked) -> Answer:
    made = make_bundle(asked, link.session.password)
    return {"name": await controller.deploy(link, made), "type": made.type, "bytes": len(made.data or b"")}


ERRANDS: Final[Mapping[str, Callable[[Controller, Link, Asked], Awaitable[Answer]]]] = {
    "connect": _connect,
    "ping": _ping,
    "stats": _stats,
    "start": _start,
    "stop": _stop,
    "logs": _logs,
    "deploy": _deploy,
}


def make_bundle(asked: Asked, password: str) -> Deploy:
    """A bundle of `name`, `type` (profile, miner or full), `profile` (any JSON, or none) and `files` (name to base64),
    sealed with a password; `plain` leaves a profile unsealed. Raises `UsageError`."""
    name, type = str(asked.get("name", "")), str(asked.get("type") or bundle.MINER)
    profile = asked.get("profile")
    text = None if profile is None else json.dumps(profile, ensure_ascii=False, separators=(",", ":"))
    if type == bundle.PROFILE:
        if text is None:
            raise UsageError("a profile bundle needs a profile")
        if asked.get("plain"):
            return bundle.make_plain_profile(name, text)
        return bundle.make_profile(name, text, password, os.urandom(NONCES_BYTES))
    if type not in (bundle.MINER, bundle.FULL):
        raise UsageError(f"a bundle is a profile, miner or full, not {type[:40]}")
    files = {str(path): _decoded(path, data) for path, data in dict(asked.get("files") or {}).items()}
    return bundle.make_miner(name, files, text, password, os.urandom(NONCES_BYTES), int(time.time()), type)


def _decoded(path: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"the content of {path} is no base64") from None


def _as_object(record: JsonRecord) -> Answer:
    found: Answer = json.loads(record.encode())
    return found
