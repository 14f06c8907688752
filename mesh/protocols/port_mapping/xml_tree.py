"""A small part of XML: elements, their names without prefix, their texts. Nothing is declared, expanded or fetched.

A document type is refused where it begins, and with it every entity but XML's own five; size, depth and number of
elements are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from mesh.errors import Malformed

MAX_BYTES: Final = 256 * 1024
MAX_ELEMENTS: Final = 4096
MAX_DEPTH: Final = 32


class Element:
    """One element: its ``name``, the text directly in it, its ``children``."""

    __slots__ = ("children", "name", "pieces")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: list[str] = []
        self.children: list[Element] = []

    @property
    def text(self) -> str:
        """Its text without the space around it."""
        return "".join(self.pieces).strip()

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((each for each in self.children if each.name == name), None)

    def text_of(self, name: str) -> str:
        """The text of the first child of that name, empty without one."""
        found = self.child(name)
        return "" if found is None else found.text

    def all(self, name: str) -> Iterator[Element]:
        """Every element of that name inside, this one included, in the order of the document."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            if element.name == name:
                yield element
            waiting.extend(reversed(element.children))


def read_xml(document: bytes) -> Element:
    """The outermost element. Raises `Malformed`."""
    if len(document) > MAX_BYTES:
        raise Malformed("xml", None, f"{len(document)} bytes, at most {MAX_BYTES}")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_type
    try:
        parser.Parse(document, True)
    except Malformed:
        raise
    except expat.ExpatError as error:
        raise Malformed("xml", error.offset, expat.ErrorString(error.code)) from None
    except (LookupError, ValueError) as error:
        raise Malformed("xml", None, str(error)[:80]) from None
    assert reader.root is not None
    return reader.root


class _Reader:
    """Builds the tree as the parser goes."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise Malformed("xml", None, f"more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} deep")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].pieces.append(data)

    def refuse_type(self, *_declared: object) -> None:
        raise Malformed("xml", None, "it declares a document type")
