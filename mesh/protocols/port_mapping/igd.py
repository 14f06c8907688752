"""What a UPnP router is told and says: its description, actions and their answers (WANIPConnection 1 and 2).

The few actions that mapping takes are written here; everything read is untrusted text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final
from urllib.parse import urljoin
from xml.sax.saxutils import escape

from mesh.errors import Malformed
from mesh.protocols.port_mapping.mapping import Errand, Granted, Refused
from mesh.protocols.port_mapping.ssdp import check_url
from mesh.protocols.port_mapping.xml_tree import Element, read_xml

NAME: Final = "upnp"
DESCRIPTION: Final = "mesh"
SERVICES: Final = (
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
"""Which of a router's services is spoken to, the best first."""
MAX_SERVICES: Final = 256
MAX_REASON_CHARACTERS: Final = 200
ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"

ONLY_PERMANENT: Final = 725
CONFLICT: Final = 718
NO_SUCH_ENTRY: Final = 714
"""Codes of refusals: a lease has to be for ever; another host has that outside port; there is no such mapping."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service to speak to, and where."""

    kind: str
    control_url: str


@dataclass(frozen=True, slots=True)
class Call:
    """An action with its arguments, in order."""

    action: str
    arguments: tuple[tuple[str, str], ...] = ()


def read_description(document: bytes, location: str, gateway: str) -> Service:
    """The service that maps ports. Raises `Malformed` when there is none, or it is not at the router."""
    root = read_xml(document)
    found: dict[str, str] = {}
    for count, each in enumerate(root.all("service")):
        if count == MAX_SERVICES:
            break
        found.setdefault(each.text_of("serviceType"), each.text_of("controlURL"))
    kind = next((each for each in SERVICES if found.get(each)), None)
    if kind is None:
        raise Malformed("upnp description", None, "it has no service that maps ports")
    base = root.text_of("URLBase") or location
    try:
        joined = urljoin(check_url(base, gateway), found[kind])
    except ValueError as error:
        raise Malformed("upnp description", None, f"{found[kind][:80]!r}: {error}") from None
    return Service(kind, check_url(joined, gateway))


def write_call(kind: str, call: Call) -> bytes:
    """The body of a request."""
    arguments = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in call.arguments)
    return (
        '<?xml version="1.0"?>\r\n'
        f'<s:Envelope xmlns:s="{ENVELOPE}" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{call.action} xmlns:u="{kind}">{arguments}</u:{call.action}></s:Body></s:Envelope>\r\n'
    ).encode()


def read_answer(document: bytes, action: str) -> Element | Refused:
    """What an action returned, by the names of its arguments, or why not. Raises `Malformed`."""
    body = read_xml(document).child("Body")
    if body is None:
        raise Malformed("upnp answer", None, "it has no body")
    answer = body.child(f"{action}Response")
    if answer is not None:
        return answer
    fault = next(body.all("UPnPError"), None)
    code = "" if fault is None else fault.text_of("errorCode")
    if fault is None or not (code.isascii() and code.isdigit() and len(code) <= 4):
        raise Malformed("upnp answer", None, f"neither an answer to {action} nor an error")
    return Refused(int(code), fault.text_of("errorDescription")[:MAX_REASON_CHARACTERS])


def map_call(errand: Errand, own_ip: str) -> Call:
    """Asks for an outside port."""
    port = errand.port
    return Call(
        "AddPortMapping",
        (
            ("NewRemoteHost", ""),
            ("NewExternalPort", str(errand.external_port)),
            ("NewProtocol", port.transport.upper()),
            ("NewInternalPort", str(port.number)),
            ("NewInternalClient", own_ip),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", DESCRIPTION),
            ("NewLeaseDuration", str(errand.lease_s)),
        ),
    )


def unmap_call(errand: Errand) -> Call:
    """Gives an outside port back."""
    return Call(
        "DeletePortMapping",
        (
            ("NewRemoteHost", ""),
            ("NewExternalPort", str(errand.external_port)),
            ("NewProtocol", errand.port.transport.upper()),
        ),
    )


ADDRESS_CALL: Final = Call("GetExternalIPAddress")


def read_address(answer: Element) -> str:
    """The router's outside address. Raises `Malformed`."""
    text = answer.text_of("NewExternalIPAddress")
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise Malformed("upnp answer", None, f"{text[:80]!r} is no IPv4 address") from None


def granted(errand: Errand, host: str) -> Granted:
    """What a router that took the mapping forwards; a lease of 0 is for ever."""
    return Granted(host, errand.external_port, float(errand.lease_s) if errand.lease_s else math.inf)
