"""STIM: what an encrypted bundle holds inside its Trix container (Borg; the Lethean mesh)."""

from __future__ import annotations

from protocol_specs.grammar import U32, Bytes, Delimited, Layout
from protocol_specs.module import Module
from protocol_specs.smsg import MAX_PAYLOAD_BYTES

PAYLOAD = Layout(
    "Payload",
    "config" / Delimited(MAX_PAYLOAD_BYTES, length=U32),
    "rootfs" / Bytes(MAX_PAYLOAD_BYTES),
    doc="Two sigil boxes: the configuration, with its length before it, and a tar.",
)

MODULE = Module(
    "tim",
    "What an encrypted bundle holds inside its Trix container.",
    "the Lethean mesh, section 11.1 (Borg cf2af53)",
    items={"payload": PAYLOAD},
    constants={"MAX_FILE_BYTES": 100 * 2**20},
)
