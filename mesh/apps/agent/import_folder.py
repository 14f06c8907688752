"""A stock daemon's folder taken over: what of it becomes which setting, and its peers and messages in ``agent.db``.

Taking over again adds what is new since then. Messages come before those that are there already, unless all of them are
newer; they count as read.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mesh.apps.agent.records import MessageRecord
from mesh.apps.agent.stock_folder import StockMessages, StockPeer, message_rows, read_peers
from mesh.apps.agent.store import AgentStore, address_book, message_log
from mesh.config.sections import every_setting

DEFAULT_PORT: Final = 4001
_LISTS: Final = {
    "bootstrapPeers": "network.bootstrap",
    "announceAddrs": "network.announce",
}
_TIMES: Final = {
    "healthCheckIntervalMs": "agent.health_interval_s",
    "announceIntervalMs": "agent.announce_interval_s",
    "statusBroadcastIntervalMs": "agent.status_interval_s",
}
_PLAIN: Final = {
    "enableMdns": "mdns.enabled",
    "name": "agent.name",
    "maxConnections": "network.max_connections",
    "bsvIdentityKey": "agent.bsv_identity_key",
}
_SECRET: Final = frozenset(["bsvPrivateKey", "bsvPublicKey"])
_ELSEWHERE: Final = frozenset(["port", "gateway", "gatewayUrl", "gatewayToken", "relayAddress"])


@dataclass(slots=True)
class Translated:
    """``settings`` by dotted key, checked; ``gateway_token`` goes into a file of its own; ``notes`` tell what was left
    and why."""

    settings: dict[str, object] = field(default_factory=dict)
    gateway_token: str = ""
    notes: list[str] = field(default_factory=list)

    def take(self, key: str, value: object, source: str) -> None:
        """Set one, or note that it cannot be."""
        try:
            self.settings[key] = dict(every_setting())[key].accept(value)
        except ValueError as error:
            self.notes.append(f"{source} is left: {error}")


def translate(config: Mapping[str, Any]) -> Translated:
    """The settings that an object of `config.json` stands for (section 8), aliases of the README among them."""
    found = Translated()
    found.take("agent.enabled", True, "agent")
    port = config.get("port", DEFAULT_PORT)
    if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65535:
        addresses = (f"tcp/{port}", f"udp/{port}/quic-v1", f"tcp/{port + 1}/ws")
        found.take("network.listen", [f"/ip4/0.0.0.0/{each}" for each in addresses], "port")
    else:
        found.notes.append(f"port is left: {port!r} is no port")
    for name, key in {**_LISTS, **_PLAIN}.items():
        if config.get(name) not in (None, "", []):
            found.take(key, config[name], name)
    for name, key in _TIMES.items():
        if isinstance(config.get(name), int | float):
            found.take(key, config[name] / 1000, name)
    if config.get("relayAddress"):
        found.take("relay.relays", [config["relayAddress"]], "relayAddress")
    else:
        found.notes.append("the stock daemon's own relay is not taken over; name one with relay.relays")
    _take_gateway(found, config)
    for name in config:
        if name in _SECRET:
            found.notes.append(f"{name} is left where it is; for attestation see agent.bsv_key_file")
        elif name not in _ELSEWHERE | _LISTS.keys() | _PLAIN.keys() | _TIMES.keys():
            found.notes.append(f"{name} is left: it means nothing here")
    return found


def _take_gateway(found: Translated, config: Mapping[str, Any]) -> None:
    gateway = config.get("gateway")
    gateway = gateway if isinstance(gateway, dict) else {}
    url = config.get("gatewayUrl") or (gateway.get("url") if gateway.get("enabled") else None)
    token = config.get("gatewayToken") or gateway.get("token")
    if url:
        found.take("agent.gateway_url", url, "gateway")
    if url and isinstance(token, str) and token:
        found.gateway_token = token


async def import_peers(store: AgentStore, folder: Path) -> int:
    """Enter the folder's peers that the address book does not have; gives how many. Raises `ConfigError`,
    `StorageError`."""
    peers = read_peers(folder)
    entered = 0
    for begin in range(0, len(peers), 500):
        some = peers[begin : begin + 500]
        entered += await store.write(lambda database, some=some: _enter(database, some))  # type: ignore[misc]
    return entered


async def import_messages(store: AgentStore, folder: Path) -> int:
    """Add the folder's messages that were not added before; gives how many. Raises `ConfigError`, `StorageError`."""
    mark = _mark_of(folder)
    after = await store.read(lambda database: _imported(database, mark))
    with message_rows(folder, after) as found:
        first = await store.read(lambda database: _first_number(database, found))
        done = 0
        for page in found.pages:
            number = None if first is None else first + done
            await store.write(lambda database, page=page, number=number: _add(database, page, number, mark))  # type: ignore[misc]
            done += len(page)
    return done


def _mark_of(folder: Path) -> str:
    """The name under which the store keeps how far a folder's messages were added."""
    return f"import {hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]}"


def _first_number(database: sqlite3.Connection, found: StockMessages) -> int | None:
    """The row of the first message; None keeps the rows' own numbers, for a log that is empty."""
    least, greatest, newest = database.execute(
        "SELECT min(id), max(id), max(timestamp) FROM messages"
    ).fetchone()
    if least is None:
        return None
    return int(greatest) + 1 if found.oldest >= newest else min(int(least), 0) - found.count


def _add(database: sqlite3.Connection, page: list[MessageRecord], number: int | None, mark: str) -> None:
    for index, record in enumerate(page):
        message_log.add(database, record if number is None else replace(record, id=number + index))
    query = "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    database.execute(query, (mark, str(page[-1].id)))


def _imported(database: sqlite3.Connection, mark: str) -> int:
    found = database.execute("SELECT value FROM settings WHERE name = ?", (mark,)).fetchone()
    return int(found[0]) if found else 0


def _enter(database: sqlite3.Connection, peers: Sequence[StockPeer]) -> int:
    return sum(address_book.restore(database, each.peer, each.given_name) for each in peers)
