"""Whole modules: header, imports, constants, enumerations, then the formats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from protocol_specs.catalogue import MODULES
from protocol_specs.grammar import Delimited, Enum, Layout, Repeat, bare, describe
from protocol_specs.module import Module
from protocol_specs.protobuf import Message
from tools.spec_compiler.bounds import check_bounds, check_compiled
from tools.spec_compiler.element_types import run_code
from tools.spec_compiler.layouts import write_functions, write_layout
from tools.spec_compiler.messages import write_message
from tools.spec_compiler.writer import LINE_LENGTH, Source, table_name, tidy

COMPILED = [module for module in MODULES if not module.implementation]
TEMPLATE = Path(__file__).with_name("wire.template")
WIRE_SOURCE = "tools/spec_compiler/wire.template"
PACKAGE_DOC = '''"""The wire formats as plain Python: decoders, encoders, limits; one module a format.

GENERATED from protocol_specs by tools.spec_compiler; do not edit.
"""
'''


def schema_hash(module: Module) -> str:
    """A digest of what defines the formats of a module, the same on every machine."""
    description = [
        [[name, describe(bare(item))] for name, item in module.items.items()],
        [describe(enum) for enum in module.enums],
        sorted(module.constants.items()),
        [[name, describe(element)] for name, element in module.structs.items()],
    ]
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def generate_module(module: Module, homes: dict[str, str] | None = None) -> str:
    """The source of a module; raises Unbounded for a schema without a maximum.

    `homes` says which module holds a class that is not this one's own.
    """
    for name, item in module.items.items():
        check_bounds(item, getattr(bare(item), "title", name))
        check_compiled(item, getattr(bare(item), "title", name))
    body = Source()
    for enum in module.enums:
        body.enums[enum.name] = enum
    for name, element in module.structs.items():
        body.structs[run_code([(name, element)])] = name
    own = {bare(item).title for item in module.items.values() if isinstance(bare(item), Layout | Message)}
    first = True
    for name, item in module.items.items():
        element = bare(item)
        if not first:
            body("", "")
        first = False
        _import_foreign(body, element, own, homes or {})
        if isinstance(element, Message):
            write_message(body, element)
        elif isinstance(element, Layout):
            write_layout(body, element)
        else:
            write_functions(body, name, element)
    head = Source()
    _write_head(head, module, body)
    return tidy([*head.lines, *body.lines])


def generated_files() -> dict[str, str]:
    """File name and text of everything in `mesh/codecs`."""
    homes = {
        bare(item).title: f"mesh.codecs.{module.name}"
        for module in COMPILED
        for item in module.items.values()
        if isinstance(bare(item), Layout | Message)
    }
    template = TEMPLATE.read_text()
    digest = hashlib.sha256(template.encode()).hexdigest()[:16]
    files = {"__init__.py": PACKAGE_DOC, "wire.py": _header(WIRE_SOURCE, digest) + template}
    for module in COMPILED:
        files[f"{module.name}.py"] = generate_module(module, homes)
    return files


def _header(source: str, digest: str) -> str:
    return f"# GENERATED from {source} by tools.spec_compiler; do not edit.\n# Schema {digest}\n"


def _import_foreign(body: Source, element: Any, own: set[str], homes: dict[str, str]) -> None:
    """Note the classes of other modules that an element uses."""
    element = bare(element)
    parts: list[Any] = []
    if isinstance(element, Message):
        parts = [field.kind for field in element.fields if isinstance(field.kind, Message)]
    elif isinstance(element, Layout):
        parts = [part for _, part in element.elements]
    elif isinstance(element, Delimited | Repeat):
        parts = [element.subcon]
    for part in map(bare, parts):
        if not isinstance(part, Layout | Message):
            _import_foreign(body, part, own, homes)
        elif part.title not in own:
            body.others.setdefault(homes[part.title], set()).add(part.title)


def _write_head(head: Source, module: Module, body: Source) -> None:
    head.lines += _header(f"protocol_specs/{module.name}.py", schema_hash(module)).splitlines()
    doc = module.doc if not module.reference else f"{module.doc}\n\nSpecification: {module.reference}."
    lines = doc.splitlines()
    head(f'"""{lines[0]}', *lines[1:], '"""') if len(lines) > 1 else head(f'"""{lines[0]}"""')
    head("", "from __future__ import annotations", "")
    standard = []
    if body.needs_struct or body.structs:
        standard.append("import struct")
    if body.enums:
        standard.append("from enum import IntEnum")
    if any("Self" in line for line in body.lines):
        standard.append("from typing import Self")
    if standard:
        head(*standard, "")
    imports = {f"mesh.codecs.{'wire'}": body.wire, "mesh.errors": body.errors, **body.others}
    for name in sorted(imports):
        if imports[name]:
            _write_import(head, name, imports[name])
    head("")
    for name, value in module.constants.items():
        head(f"{name} = {value!r}")
    for code, name in body.structs.items():
        head(f'{name} = struct.Struct("{code}")')
    if module.constants or body.structs:
        head("")
    for enum in body.enums.values():
        _write_enum(head, enum, f" {table_name(enum)}" in "".join(f" {line}" for line in body.lines))
    head("")


def _write_import(head: Source, name: str, names: set[str]) -> None:
    ordered = sorted(names, key=lambda each: (not each.isupper(), not each[0].isupper(), each))
    line = f"from {name} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        head(line)
    else:
        head.call(f"from {name} import (", ordered)


def _write_enum(head: Source, enum: Enum, with_table: bool) -> None:
    head("")
    with head.block(f"class {enum.name}(IntEnum):"):
        doc = enum.doc or f"The numbers of {enum.name}."
        head(f'"""{doc}"""', "")
        head(*(f"{name} = {value}" for name, value in enum.members.items()))
    head("")
    if with_table:
        head(f"{table_name(enum)} = {{int(member): member for member in {enum.name}}}", "")
