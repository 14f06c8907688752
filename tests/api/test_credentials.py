"""What is read from the Host header, from origins and from the Authorization header."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from mesh.api.credentials import bears, hosts_of, named_host


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode()) for name, value in pairs])


@pytest.mark.parametrize(
    ("named", "host"),
    [
        (["Node.Example:80"], "node.example"),
        (["[::1]:4003"], "[::1]"),
        (["127.0.0.1"], "127.0.0.1"),
        ([], None),
        ([""], None),
        (["::1"], None),
        (["a:b"], None),
        (["a", "a"], None),
    ],
)
def test_a_host(named: list[str], host: str | None) -> None:
    assert named_host(headers(*(("host", each) for each in named))) == host


def test_hosts_of_origins() -> None:
    found = hosts_of(["https://page.example:8443", "http://[2001:db8::1]", "null", ""])
    assert found == {"page.example", "[2001:db8::1]"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["Bearer secret"], True),
        (["bearer  secret "], True),
        (["Basic secret"], False),
        (["Bearer secre"], False),
        (["Bearer sécret"], False),
        (["secret"], False),
        ([], False),
        (["Bearer secret", "Bearer secret"], False),
    ],
)
def test_a_token(given: list[str], shown: bool) -> None:
    assert bears(headers(*(("authorization", each) for each in given)), b"secret") is shown
