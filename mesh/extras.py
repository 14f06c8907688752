"""What optional packages bring, or a word on which extra is missing.

Some of them raise Python's limit of recursion for the whole process as they are imported, so far that a peer's JSON of
many brackets would overflow the stack and end the process. Everything that needs them loads them here first, where the
limit is put back.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from mesh.errors import ConfigError


def load_chain() -> None:
    """Load the EVM. Raises `ConfigError` without the extra `chain`."""
    _need("eth", "chain", "a private chain")
    _need("py_ecc", "chain", "a private chain")


def load_signing() -> None:
    """Load what signs payments and recovers their signers. Raises `ConfigError` without the extra `market`."""
    _need("coincurve", "market", "signing payments")
    _need("eth_account", "market", "signing payments")


def keccak(data: bytes) -> bytes:
    """Keccak-256. Raises `ConfigError` without the extra `market`."""
    hashed: bytes = _need("eth_hash.auto", "market", "signing payments").keccak(data)
    return hashed


def _need(module: str, extra: str, purpose: str) -> Any:
    limit = sys.getrecursionlimit()
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the extra `{extra}`: pip install 'mesh[{extra}]' ({error})"
        ) from None
    finally:
        sys.setrecursionlimit(limit)
