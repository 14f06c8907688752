"""multistream-select tokens (multiformats/multistream-select)."""

from __future__ import annotations

from protocol_specs.grammar import Delimited, Text
from protocol_specs.module import Module

MAX_TOKEN_BYTES = 1024
"""With the newline; go treats 1025 as fatal."""

TOKEN = Delimited(MAX_TOKEN_BYTES, Text(ending="\n"), min_bytes=1)

MODULE = Module(
    "multistream",
    "multistream-select tokens: a length that counts the newline, text, newline.",
    "multiformats/multistream-select",
    items={"token": TOKEN},
)
