"""What a person or a program gets to read: results on stdout, warnings and errors on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import BinaryIO, TextIO

from mesh.errors import DialError, MeshError, StorageError


def say(text: str) -> None:
    """One line of result, at once; nothing when stdout is closed. Text from peers goes through
    `mesh.telemetry.log.printable` first. Raises `StorageError` when it cannot be written, as to a full disk."""
    with writing():
        print(text, flush=True)


def say_bytes(result: bytes) -> None:
    """A result as it is. Raises like `result_bytes`."""
    with result_bytes() as stream:
        stream.write(result)


@contextlib.contextmanager
def result_bytes() -> Iterator[BinaryIO]:
    """Stdout for a result that comes in pieces. Raises `StorageError` when it is closed or cannot be written."""
    if sys.stdout is None:
        raise StorageError("stdout is closed; give a file with --out")
    with writing():
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


def say_json(result: Mapping[str, object]) -> None:
    """One result as a JSON object on a line of its own."""
    say(json.dumps(result, ensure_ascii=False, separators=(",", ":")))


def warn(text: str) -> None:
    """One line on stderr that does not stop anything."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def report(error: MeshError, *, as_json: bool) -> None:
    """An error on stderr, in words or as one JSON object."""
    if as_json:
        failures = error.failures if isinstance(error, DialError) else ()
        message = str(error).partition("\n  ")[0].rstrip(":") if failures else str(error)
        problem(
            error.code,
            message,
            [
                {"address": failure.address, "stage": failure.stage, "cause": failure.cause}
                for failure in failures
            ],
        )
        return
    from mesh.telemetry.log import printable

    lines = map(printable, str(error).split("\n"))
    print("error: " + "\n".join(lines), file=sys.stderr, flush=True)


def problem(code: str, message: str, failures: list[dict[str, str]]) -> None:
    """The JSON form of an error."""
    error = {"code": code, "message": message, "failures": failures}
    print(
        json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":")), file=sys.stderr, flush=True
    )


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Raises `StorageError` when stdout takes no more; a reader that has gone is `BrokenPipeError`, as ever."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon(sys.stdout)
        raise StorageError(f"stdout cannot be written: {error.strerror or error}") from None


def abandon(stream: TextIO | None) -> None:
    """Point a stream whose reader has gone, or that is full, at nothing, so that no later write or flush fails."""
    if stream is None:
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
