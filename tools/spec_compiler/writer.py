"""Lines of Python with their indentation, and what a generated module must import for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protocol_specs.grammar import Enum

RESERVED = frozenset(
    (
        *(
            "cls",
            "data",
            "offset",
            "end",
            "tag",
            "length",
            "high",
            "stop",
            "number",
            "size",
            "octet",
            "text_end",
        ),
        *("item", "kind", "error", "struct", "value", "region", "start"),
    )
)


LINE_LENGTH = 110
STRUCT_NAMES = {"B": "U8", "H": "U16", "I": "U32", "Q": "U64", "i": "I32", "q": "I64", "d": "F64"}


class Source:
    """A module under construction.

    `wire`, `errors` and `others` collect the names used from `mesh.codecs.wire`, `mesh.errors` and other
    modules; `structs` the `struct.Struct` objects by format, `enums` the enumerations in the order of their
    first use.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.wire: set[str] = set()
        self.errors: set[str] = set()
        self.others: dict[str, set[str]] = {}
        self.structs: dict[str, str] = {}
        self.needs_struct = False
        self.enums: dict[str, Enum] = {}

    def __call__(self, *lines: str) -> None:
        """Append lines at the present depth."""
        self.lines.extend("    " * self.depth + line if line else "" for line in lines)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Append a header and indent what follows."""
        self(header)
        self.depth += 1
        yield
        self.depth -= 1

    def call(self, opening: str, arguments: list[str], closing: str = ")") -> None:
        """Append a call, a tuple or a signature: on one line if it fits, else one argument a line."""
        comma = "," if opening.endswith("= (") and len(arguments) == 1 else ""
        line = f"{opening}{', '.join(arguments)}{comma}{closing}"
        if 4 * self.depth + len(line) <= LINE_LENGTH:
            self(line)
            return
        with self.block(opening):
            self(*(f"{argument}," for argument in arguments))
        self(closing)

    def raises(self, condition: str, error: str) -> None:
        """Append `if condition: raise error`, where the error is a call of a name to import."""
        name = error.partition("(")[0]
        (self.errors if name in ("Malformed", "Truncated", "UsageError") else self.wire).add(name)
        with self.block(f"if {condition}:"):
            if 4 * self.depth + len(f"raise {error}") <= LINE_LENGTH:
                self(f"raise {error}")
            else:
                self.call(f"raise {name}(", [error[len(name) + 1 : -1]])

    def use(self, *names: str) -> None:
        """Note names of the shared module."""
        self.wire.update(names)

    def crossing(self) -> None:
        """Append the clause that turns a truncation inside a closed region into Malformed."""
        self.use("crossing")
        self.errors.add("Truncated")
        with self.block("except Truncated as error:"):
            self("raise crossing(error) from None")

    def struct(self, code: str) -> str:
        """The name of a private `struct.Struct` with this format."""
        order = "_LE" if code[0] == "<" and code[1] != "B" else ""
        return self.structs.setdefault(code, f"_{STRUCT_NAMES[code[1:]]}{order}")

    def enum(self, enum: Enum) -> str:
        """The name of an enumeration's table from number to member."""
        self.enums[enum.name] = enum
        return table_name(enum)


def table_name(enum: Enum) -> str:
    """The private table from number to member of an enumeration."""
    return "_" + upper(enum.name)


def upper(title: str) -> str:
    """`HandshakePayload` as `HANDSHAKE_PAYLOAD`."""
    return "".join("_" + char if char.isupper() and at else char for at, char in enumerate(title)).upper()


def local(name: str) -> str:
    """The local variable that holds a field while it is read."""
    return name + "_" if name in RESERVED else name


def literal(value: int | None) -> str:
    """A number as a reader likes it: hexadecimal where it is a power of two or one less, and large."""
    if value is not None and value >= 2**31 and (value & (value + 1) == 0 or value & (value - 1) == 0):
        return f"0x{value:X}"
    return str(value)


def bytes_literal(data: bytes) -> str:
    """A bytes literal in double quotes with every byte in hexadecimal."""
    return 'b"' + "".join(f"\\x{octet:02x}" for octet in data) + '"'


def tidy(lines: list[str]) -> str:
    """The text of a module: two blank lines around classes and functions, one elsewhere."""
    text: list[str] = []
    blank = False
    for line in lines:
        if not line:
            blank = True
            continue
        if blank and text:
            separate = line.startswith(("class ", "def ")) or (text[-1][:1] == " " and line[:1] not in " )]}")
            text += ["", ""] if separate else [""]
        blank = False
        text.append(line)
    return "\n".join(text) + "\n"
