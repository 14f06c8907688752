"""Services as callers and announcements give them."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.apps.agent.service_reading import read_service
from mesh.apps.agent.store import AgentStore, own_settings
from mesh.errors import DecodeError, UsageError

POEM = {"id": "poem", "name": "Poem", "description": "Poems", "price": 50, "currency": "bsv"}


@pytest.mark.parametrize(
    "document",
    [
        POEM,
        {"id": "free", "name": "Free", "price": 0, "currency": "zzz", "extra": {"k": 1}},
        {
            "id": "i",
            "name": "n",
            "description": "",
            "price": 0.5,
            "currency": "mnee",
            "tags": ["a", None, True, 1.5],
        },
    ],
)
def test_a_service_comes_out_as_it_went_in(document: dict[str, Any]) -> None:
    assert read_service(document).document() == document


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "x" * 129},
        {"id": 5},
        {"name": None},
        {"description": 7},
        {"price": "50"},
        {"price": True},
        {"price": -1},
        {"price": float("nan")},
        {"price": 10**400},
        {"currency": ""},
        {"extra": "x" * 5000},
        {"extra": [[[[[[[[[[1]]]]]]]]]]},
        {"extra": float("inf")},
        {"extra": 10**5000},
        {str(number): 1 for number in range(40)},
    ],
)
def test_what_is_no_service_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read_service({**POEM, **change})


@pytest.mark.parametrize("document", [None, [], "poem", 5, {}])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(DecodeError):
        read_service(document)


async def test_own_services_keep_their_places() -> None:
    async with AgentStore(None) as store:
        for name in ("poem", "free", "poem"):
            service = read_service({**POEM, "id": name})
            await store.write(lambda database, service=service: own_settings.put_service(database, service))  # type: ignore[misc]
        found = await store.read(own_settings.services)
        assert [each.id for each in found] == ["poem", "free"]
        assert await store.write(lambda database: own_settings.remove_service(database, "poem"))
        assert not await store.write(lambda database: own_settings.remove_service(database, "poem"))
        for number in range(63):
            service = read_service({**POEM, "id": str(number)})
            await store.write(lambda database, service=service: own_settings.put_service(database, service))  # type: ignore[misc]
        with pytest.raises(UsageError, match="unregister"):
            await store.write(lambda database: own_settings.put_service(database, read_service(POEM)))


async def test_a_name_stays_until_it_is_taken_back() -> None:
    async with AgentStore(None) as store:
        assert await store.read(own_settings.name) == ""
        for text in ("Alpha", "Alpha2", ""):
            await store.write(lambda database, text=text: own_settings.set_name(database, text))  # type: ignore[misc]
            assert await store.read(own_settings.name) == text
