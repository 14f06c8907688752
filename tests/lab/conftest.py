"""Tests that need a laboratory are skipped, loudly, where none can be built; `MESH_LAB=require` makes that a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.lab import namespaces
from mesh.lab.abilities import REQUIRE, is_required, missing_ability


@pytest.fixture(scope="session")
def _ability() -> str:
    return missing_ability()


@pytest.fixture
def laboratory(_ability: str) -> Iterator[None]:
    """There can be one, and nothing of it is left at the end."""
    if _ability:
        if is_required():
            pytest.fail(f"{REQUIRE}=require, but {_ability}")
        pytest.skip(f"NOTHING WAS TESTED BEHIND NATS: {_ability}")
    assert not namespaces.named_own()
    yield
    assert not namespaces.named_own()
