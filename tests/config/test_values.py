"""Text and raw values become typed ones, or say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.config.values import KIB, MIB, Setting, near, parse_seconds, parse_size, shape_of_api_listen


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64 MiB", 64 * MIB),
        ("64MiB", 64 * MIB),
        ("64mib", 64 * MIB),
        ("0.5 KiB", 512),
        ("1 MB", 1_000_000),
        ("67_108_864", 64 * MIB),
        ("12 B", 12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1 MiBs", "-1 MiB", "0.3 B", "1e999", "1 2", "٣ KiB"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5", 1.5), ("250ms", 0.25), ("30s", 30.0), ("2 m", 120.0), ("500 us", 0.0005)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "nan", "inf", "-1", "1e999", "5 parsecs"])
def test_wrong_times(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (Setting("", "count"), "12", 12),
        (Setting("", "size"), "1 KiB", KIB),
        (Setting("", "seconds"), "100 ms", 0.1),
        (Setting("", "list"), "a, b,,c ", ("a", "b", "c")),
        (Setting("", "list"), "", ()),
        (
            Setting("", "levels", choices=("debug", "info")),
            "a=debug, b=info",
            (("a", "debug"), ("b", "info")),
        ),
        (Setting("", "path"), "/tmp/x", Path("/tmp/x")),
        (Setting(""), "any thing", "any thing"),
    ],
)
def test_from_text(rule: Setting, text: str, value: object) -> None:
    assert rule.from_text(text) == value


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        (Setting("", "count"), True, "whole number"),
        (Setting("", "count"), 1.0, "whole number"),
        (Setting("", "count"), "7", "whole number"),
        (Setting("", "count", minimum=1), 0, "below the least value 1"),
        (Setting("", "count", maximum=9), 10, "above the greatest value 9"),
        (Setting("", "seconds"), float("nan"), "a number"),
        (Setting("", "seconds"), False, "a number"),
        (Setting("", "list"), "text", "a list"),
        (Setting("", "list"), [1], "text"),
        (Setting("", "list", choices=("echo", "perf")), ["ecko"], "did you mean echo"),
        (Setting("", "levels"), ["x"], "table of subsystem"),
        (Setting("", "levels"), {"": "info"}, "a subsystem name"),
        (Setting("", "levels", choices=("info",)), {"x": "loud"}, "not one of info"),
        (Setting("", "path"), 5, "a path"),
        (Setting("", choices=("a",)), 5, "text"),
    ],
)
def test_accept_refuses(rule: Setting, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rule.accept(value)


def test_text_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="expected a whole number, got 'many'"):
        Setting("", "count").from_text("many")


@pytest.mark.parametrize("text", ["off", "127.0.0.1:8080", "localhost:0", "[::1]:80"])
def test_api_listen(text: str) -> None:
    assert shape_of_api_listen(text) == ""


@pytest.mark.parametrize(
    "text", ["", "on", "host", ":80", "::1:80", "host:70000", "host:x", "http://h:1", "[]:1"]
)
def test_wrong_api_listen(text: str) -> None:
    assert shape_of_api_listen(text) != ""


def test_near() -> None:
    assert near("lisen", ["listen", "level"]) == " (did you mean listen?)"
    assert near("qqqq", ["listen"]) == ""
