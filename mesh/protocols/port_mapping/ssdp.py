"""Finding a router's UPnP description: the search and its answer (UPnP Device Architecture 1.1, section 1.3)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from mesh.errors import Malformed

GROUP: Final = "239.255.255.250"
PORT: Final = 1900
MAX_DATAGRAM_BYTES: Final = 4096
MAX_HEADERS: Final = 64
MAX_URL_CHARACTERS: Final = 1024
TARGETS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
"""The second version answers to the first as well, as it should; not all do."""


def write_search(target: str, host: str = GROUP) -> bytes:
    """The request, to the group or to one host; answers come within a second."""
    lines = [
        "M-SEARCH * HTTP/1.1",
        f"HOST: {host}:{PORT}",
        'MAN: "ssdp:discover"',
        "MX: 1",
        f"ST: {target}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_location(datagram: bytes) -> str:
    """Where the description is, as an answer says. Raises `Malformed` for what is no answer of a router."""
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise Malformed("ssdp answer", None, f"{len(datagram)} bytes, at most {MAX_DATAGRAM_BYTES}")
    try:
        lines = datagram.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise Malformed("ssdp answer", None, "not ASCII") from None
    status = lines[0].split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.") or status[1] != "200":
        raise Malformed("ssdp answer", 0, f"begins with {lines[0][:80]!r}")
    if len(lines) > MAX_HEADERS:
        raise Malformed("ssdp answer", None, f"{len(lines)} lines, at most {MAX_HEADERS}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().upper(), value.strip())
    if headers.get("ST") not in TARGETS:
        raise Malformed(
            "ssdp answer", None, f"about {headers.get('ST', 'nothing')[:80]!r}, not about a router"
        )
    if "LOCATION" not in headers:
        raise Malformed("ssdp answer", None, "it names no description")
    return headers["LOCATION"]


def check_url(text: str, gateway: str) -> str:
    """The same address if it is plain HTTP at the router itself; else raises `Malformed`: a description may not make us
    knock anywhere else."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Malformed("upnp address", None, f"{text[:80]!r}: {error}") from None
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= MAX_URL_CHARACTERS
    if not plain or parts.scheme != "http" or parts.username is not None or parts.password is not None:
        raise Malformed("upnp address", None, f"{text[:80]!r} is not plain HTTP")
    if host != gateway or port == 0:
        raise Malformed("upnp address", None, f"{text[:80]!r} is not at the router {gateway}")
    return text
