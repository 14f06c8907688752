"""What this agent offers and is called: services in the order in which they were registered, and a name.

Functions of a connection, within a transaction of the store's.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from mesh.apps.agent.records import MAX_SERVICES, ServiceInfo
from mesh.apps.agent.service_reading import read_service
from mesh.errors import UsageError

_NAME: Final = "name"


def services(database: sqlite3.Connection) -> list[ServiceInfo]:
    """Those that this agent offers."""
    rows = database.execute("SELECT document FROM services ORDER BY place")
    return [read_service(json.loads(document)) for (document,) in rows]


def put_service(database: sqlite3.Connection, service: ServiceInfo) -> None:
    """Offer a service, in the place of the one with its id. Raises `UsageError` when there are 64."""
    document = json.dumps(service.document(), ensure_ascii=False)
    changed = database.execute("UPDATE services SET document = ? WHERE id = ?", (document, service.id))
    if changed.rowcount:
        return
    if database.execute("SELECT count(*) FROM services").fetchone()[0] >= MAX_SERVICES:
        raise UsageError(f"an agent offers at most {MAX_SERVICES} services; unregister one first")
    database.execute("INSERT INTO services (id, document) VALUES (?, ?)", (service.id, document))


def remove_service(database: sqlite3.Connection, service_id: str) -> bool:
    """Offer it no more; tells whether it was offered."""
    return database.execute("DELETE FROM services WHERE id = ?", (service_id,)).rowcount > 0


def name(database: sqlite3.Connection) -> str:
    """The name that was set while the daemon ran, which wins over the settings'; empty for none."""
    found = database.execute("SELECT value FROM settings WHERE name = ?", (_NAME,)).fetchone()
    return found[0] if found else ""


def set_name(database: sqlite3.Connection, text: str) -> None:
    """Go by a name from now on; an empty one gives the settings' back."""
    if text:
        query = "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        database.execute(query, (_NAME, text))
    else:
        database.execute("DELETE FROM settings WHERE name = ?", (_NAME,))
